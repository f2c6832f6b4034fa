import threading

import numpy as np
import pytest
from sqlalchemy import select

from cxrscreen.service import pictures
from cxrscreen.service.pictures import Gallery, Window, windowed
from cxrscreen.service.store.models import Image


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(), [0, 64, 128, 191, 255]),
        (Window(invert=True), [255, 191, 128, 64, 0]),
        (Window(0.5, 0.5), [0, 0, 128, 255, 255]),
        (Window(0.25, 0.5), [0, 128, 255, 255, 255]),
    ],
)
def test_a_window_by_hand(window, expected):
    pixels = np.tile(np.array([0, 0.25, 0.5, 0.75, 1], np.float32), (4, 1))
    assert windowed(pixels, window)[0].tolist() == expected


def test_a_picture_is_never_larger_than_its_radiograph():
    pixels = np.zeros((100, 50), np.float32)
    assert windowed(pixels, Window(side=4000)).shape == (100, 50)
    assert windowed(pixels, Window(side=50)).shape == (50, 25)


def test_a_radiograph_is_decoded_once_and_two_at_a_time_at_most(context, send, png, monkeypatch):
    send(*(png(100, seed=n) for n in range(5)))
    with context.database.reading() as session:
        images = session.scalars(select(Image)).all()
    gallery, lock, now, most, calls = Gallery(context), threading.Lock(), [0], [0], []
    read = pictures.read

    def slow(path, **options):
        with lock:
            calls.append(path)
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.05)
        with lock:
            now[0] -= 1
        return read(path, **options)

    monkeypatch.setattr(pictures, "read", slow)
    threads = [threading.Thread(target=gallery.radiograph, args=(image,)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 2
    assert len(calls) == 5
    assert gallery.radiograph(images[0]) is gallery.radiograph(images[0])
    assert len(calls) == 5
