import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cxrscreen.imaging.codestream import CodestreamHeader, codestream_header, is_sound_lossless_jpeg
from cxrscreen.imaging.decoders import _LOSSLESS_JPEG as LOSSLESS


def saved(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(stream, format=kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_headers_of_jpeg_and_jpeg_2000(kind: str) -> None:
    assert codestream_header(saved(kind)) == CodestreamHeader(rows=40, columns=50, components=1, bits=8)


def test_the_header_of_a_lossless_jpeg() -> None:
    assert codestream_header(LOSSLESS) == CodestreamHeader(rows=16, columns=16, components=1, bits=16)


def test_no_header_in_other_bytes() -> None:
    for data in (b"", b"\xff\xd8", b"\xff\xd8\xff\xc3\x00", b"plain text", LOSSLESS[:8]):
        assert codestream_header(data) is None


def test_a_sound_lossless_jpeg_and_padding_after_it() -> None:
    assert is_sound_lossless_jpeg(LOSSLESS)
    assert is_sound_lossless_jpeg(LOSSLESS + b"\x00")


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (3, 0xC0),  # a baseline frame
        (6, 1),  # one bit a sample
        (13, 0x22),  # subsampled
        (16, 0xC5),  # a frame in place of the Huffman table
        (19, 0x04),  # table number 4
        (20, 0x03),  # more one-bit codes than there are
        (41, 0x30),  # predictor missing
    ],
)
def test_breaches_of_the_standard(position: int, value: int) -> None:
    damaged = bytearray(LOSSLESS)
    assert damaged[position] != value
    damaged[position] = value
    assert not is_sound_lossless_jpeg(bytes(damaged))


def test_a_marker_inside_the_scan_and_a_missing_end() -> None:
    assert not is_sound_lossless_jpeg(LOSSLESS[:100] + b"\xff\xc4" + LOSSLESS[102:])
    assert not is_sound_lossless_jpeg(LOSSLESS[:-2])
    assert not is_sound_lossless_jpeg(saved("JPEG"))


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert not is_sound_lossless_jpeg(data)
    assert not is_sound_lossless_jpeg(LOSSLESS[:2] + data)
    codestream_header(b"\xff\xd8" + data)
