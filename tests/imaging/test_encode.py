import io
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from cxrscreen.imaging.encode import encode_jpeg, encode_png

_SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 3, 4])).map(
    lambda shape: shape if shape[2] else shape[:2]
)


@given(arrays.arrays(np.uint8, _SHAPES))
def test_a_png_holds_every_sample(picture: NDArray[np.uint8]) -> None:
    with Image.open(io.BytesIO(encode_png(picture))) as found:
        assert found.format == "PNG"
        assert found.mode == {2: "L", 3: "RGB", 4: "RGBA"}[picture.ndim if picture.ndim == 2 else picture.shape[2]]
        np.testing.assert_array_equal(np.asarray(found), picture)


def test_a_png_of_a_strided_view_holds_that_view() -> None:
    whole = np.arange(60 * 50 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 50, 3)
    view = whole[5:50:2, ::-1]
    with Image.open(io.BytesIO(encode_png(view))) as found:
        np.testing.assert_array_equal(np.asarray(found), view)


def test_another_reader_finds_the_png_sound() -> None:
    """OpenCV's reader checks what Pillow's lets pass; the check sums are computed here once more."""
    chance = np.random.default_rng(0)
    picture = chance.integers(0, 256, (300, 200, 3), dtype=np.uint8)
    content = encode_png(picture)
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(found[..., ::-1], picture)
    at, kinds = 8, []
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        kinds.append(content[at + 4 : at + 8])
        assert zlib.crc32(content[at + 4 : at + 8 + length]) == int.from_bytes(
            content[at + 8 + length : at + 12 + length]
        )
        at += 12 + length
    assert (at, kinds) == (len(content), [b"IHDR", b"IDAT", b"IEND"])


@pytest.mark.parametrize("shape", [(90, 70), (90, 70, 3)])
def test_a_jpeg_looks_like_its_picture(shape: tuple[int, ...]) -> None:
    ramp = np.linspace(0, 255, 90, dtype=np.uint8)[:, None]
    picture = np.ascontiguousarray(np.broadcast_to(ramp if len(shape) == 2 else ramp[..., None], shape)).copy()
    picture[20:40, 20:40] = 200 if len(shape) == 2 else (226, 120, 40)
    with Image.open(io.BytesIO(encode_jpeg(picture))) as found:
        assert (found.format, found.size) == ("JPEG", (70, 90))
        assert np.abs(np.asarray(found).astype(int) - picture.astype(int)).mean() < 3


def test_a_thin_coloured_line_keeps_its_colour_in_a_jpeg() -> None:
    picture = np.full((80, 80, 3), 90, np.uint8)
    picture[:, 41] = (86, 180, 233)
    with Image.open(io.BytesIO(encode_jpeg(picture))) as found:
        red, _, blue = np.asarray(found)[:, 41].astype(int).mean(axis=0)
    assert blue - red > 110
