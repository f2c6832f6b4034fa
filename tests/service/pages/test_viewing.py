import gzip
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from cxrscreen.service.pages.viewing import sixteen_bits


def test_grey_values_come_whole_in_sixteen_bits(
    client: TestClient, send: Callable[..., list[str]], png: Callable[..., bytes]
) -> None:
    content = png(100, side=96)
    (image,) = send(content)
    answer = client.get(f"/view/images/{image}/grey")
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    values = np.frombuffer(answer.content, "<u2").reshape(96, 96)
    assert answer.headers["x-shape"] == answer.headers["x-stored-shape"] == "96 96"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "no-store"
    np.testing.assert_array_equal(values, stored.astype(np.uint16) * 257)


def test_a_smaller_copy_says_what_there_is(
    client: TestClient, send: Callable[..., list[str]], png: Callable[..., bytes]
) -> None:
    (image,) = send(png(100, side=128))
    answer = client.get(f"/view/images/{image}/grey?side=64")
    assert (answer.headers["x-shape"], answer.headers["x-stored-shape"]) == ("64 64", "128 128")
    assert client.get(f"/view/images/{image}/grey?side=9").status_code == 422
    assert client.get(f"/view/images/{'0' * 32}/grey").status_code == 404


def test_maps_come_as_they_are_kept(
    client: TestClient, send: Callable[..., list[str]], png: Callable[..., bytes], work: Callable[[], int]
) -> None:
    (image,) = send(png(100))
    work()
    result = client.get(f"/api/v1/images/{image}").json()["jobs"][0]["result"]
    lungs = client.get(f"/view/results/{result}/maps/lungs")
    mask = cv2.imdecode(np.frombuffer(lungs.content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert set(np.unique(mask)) == {0, 1, 2}
    assert client.get(f"/view/results/{result}/maps/looked-at").status_code == 404
    assert client.get(f"/view/results/{'0' * 32}/maps/h2").status_code == 404


@pytest.mark.parametrize("shape", [(64, 64), (90, 60)])
def test_sixteen_bits_keep_black_and_white(shape: tuple[int, int]) -> None:
    pixels = np.zeros(shape, np.float32)
    pixels[:, shape[1] // 2 :] = 1
    values = sixteen_bits(pixels, 64)
    assert max(values.shape) == 64
    assert values.dtype == np.dtype("<u2")
    assert values[0, 0] == 0
    assert values[-1, -1] == 65535
    assert len(gzip.compress(values.tobytes())) < values.nbytes
