import io
import threading

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from cxrscreen.service import pictures
from cxrscreen.service.intake import Sender, Upload, take_in
from cxrscreen.service.pictures import Gallery, Window, windowed
from cxrscreen.service.store.models import Image, Result

SENDER = Sender("tester", "api")


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


def test_the_pictures_of_a_result_are_drawn_once_or_twice_however_many_wait(context, send, png, work, monkeypatch):
    send(png(150))
    work()
    with context.database.reading() as session:
        result = session.scalars(select(Result).options(joinedload(Result.image), selectinload(Result.maps))).one()
    gallery, drawn, made, write_folder = Gallery(context), [], [], pictures.write_folder

    def slow(*given):
        drawn.append(1)
        threading.Event().wait(0.2)
        return write_folder(*given)

    monkeypatch.setattr(pictures, "write_folder", slow)
    threads = [threading.Thread(target=lambda: made.append(gallery.folder(result))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(drawn) <= 2


def test_an_image_that_cannot_be_read_does_not_tell_where_it_lies(context, client, dicom):
    content = dicom()
    receipt = take_in(context, [Upload(io.BytesIO(content[: len(content) // 2]), "cut.dcm")], SENDER)
    (image,) = (item.image_id for item in receipt.taken)
    for address in (f"/api/v1/images/{image}/picture.png", f"/view/images/{image}/grey"):
        answer = client.get(address)
        assert answer.status_code == 422
        assert str(context.files.folder) not in answer.text
        assert answer.json()["detail"].startswith("The file")
