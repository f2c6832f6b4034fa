import io
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.decoded import Decoded
from cxrscreen.imaging.limits import ReadLimits
from cxrscreen.imaging.picture import read_picture

LIMITS = ReadLimits(min_side=2)
GREY = (np.arange(80 * 96).reshape(80, 96) % 256).astype(np.uint8)


def decode(content: bytes, limits: ReadLimits = LIMITS) -> Decoded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_picture(Path("x"), content, limits)


def save(image: Image.Image, picture_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=picture_format, **options)
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_eight_bit_grey_is_exact(kind: str, options: dict[str, object]) -> None:
    decoded = decode(save(Image.fromarray(GREY), kind, **options))
    assert np.array_equal(decoded.pixels, GREY.astype(np.float32) / 255)
    assert decoded.provenance.original_shape == (80, 96)
    assert decoded.warnings == ()


def test_jpeg() -> None:
    smooth = np.tile(np.arange(96, dtype=np.uint8) * 2, (80, 1))
    decoded = decode(save(Image.fromarray(smooth), "JPEG", quality=95))
    assert np.abs(decoded.pixels - smooth / 255).max() < 0.03
    assert decoded.provenance.format == "JPEG"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_kept(kind: str) -> None:
    deep = (np.arange(80 * 96).reshape(80, 96) * 8).astype(np.uint16)
    decoded = decode(save(Image.fromarray(deep), kind))
    assert np.array_equal(decoded.pixels, deep.astype(np.float32) / 65535)
    assert decoded.provenance.bits == 16
    assert len(np.unique(decoded.pixels)) == deep.size


def test_twelve_bits_in_sixteen_are_not_dark() -> None:
    deep = (np.arange(80 * 96).reshape(80, 96) % 4096).astype(np.uint16)
    assert decode(save(Image.fromarray(deep), "PNG")).pixels.max() == 1.0


@pytest.mark.parametrize("largest", [4095, 61432])
def test_the_byte_order_of_a_tiff_changes_nothing(largest: int) -> None:
    deep = (np.arange(80 * 96).reshape(80, 96) * 8 % (largest + 1) + 100).clip(max=largest).astype(np.uint16)
    little = save(Image.fromarray(deep), "TIFF")
    big = save(Image.frombytes("I;16B", (96, 80), deep.astype(">u2").tobytes()), "TIFF")
    assert (little[:2], big[:2]) == (b"II", b"MM")
    assert np.array_equal(decode(big).pixels, decode(little).pixels)
    assert decode(big).provenance.bits == 16


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_opaque_alpha_does_not_darken_twelve_bits_in_sixteen(extension: str) -> None:
    deep = (np.arange(80 * 96).reshape(80, 96) % 4096).astype(np.uint16)
    opaque = np.full_like(deep, 65535)
    plain, with_alpha = (
        decode(cv2.imencode(extension, np.dstack(channels))[1].tobytes())
        for channels in ([deep] * 3, [*[deep] * 3, opaque])
    )
    assert plain.pixels.max() == 1.0
    assert np.array_equal(with_alpha.pixels, plain.pixels)
    assert with_alpha.background is None


def test_grey_of_twelve_bits_in_sixteen_with_alpha() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    deep = np.array([[0, 1000, 4095, 4095]], np.uint16).repeat(4, axis=0)
    alpha = np.array([[65535, 65535, 65535, 0]], np.uint16).repeat(4, axis=0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.dstack([deep, alpha]))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 4, 0, 0, 0))
    decoded = decode(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    np.testing.assert_allclose(decoded.pixels[0], [0, 1000 / 4095, 1, 0], atol=1e-6)
    assert decoded.background is not None
    assert decoded.background[0].tolist() == [False, False, False, True]


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_sixteen_bit_colour_keeps_its_depth(extension: str) -> None:
    deep = (np.arange(80 * 96).reshape(80, 96) * 8).astype(np.uint16)
    content = cv2.imencode(extension, np.dstack([deep, deep, deep]))[1].tobytes()
    decoded = decode(content)
    assert np.array_equal(decoded.pixels, deep.astype(np.float32) / 65535)
    assert decoded.provenance.bits == 16


def test_colour_becomes_luminance_with_a_warning() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    decoded = decode(save(Image.fromarray(red), "PNG"))
    assert np.allclose(decoded.pixels, 0.299)
    assert "coloured" in decoded.warnings[0]


def test_grey_stored_as_colour_is_exact_and_not_called_coloured() -> None:
    decoded = decode(save(Image.fromarray(np.dstack([GREY] * 3)), "PNG"))
    assert np.array_equal(decoded.pixels, GREY.astype(np.float32) / 255)
    assert decoded.warnings == ()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_black_and_background(mode: str) -> None:
    image = Image.fromarray(np.full((8, 8), 200, np.uint8)).convert(mode)
    alpha = np.full((8, 8), 255, np.uint8)
    alpha[:4], alpha[4] = 0, 51
    image.putalpha(Image.fromarray(alpha))
    decoded = decode(save(image, "PNG"))
    assert np.allclose(decoded.pixels[[0, 4, 7], 0], [0, 200 / 255 * 0.2, 200 / 255])
    assert decoded.background is not None
    assert decoded.background.sum() == 32


def test_palette_and_one_bit() -> None:
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    palette.putpalette([10, 10, 10, 200, 200, 200])
    assert np.allclose(decode(save(palette, "PNG")).pixels * 255, [[10, 200], [200, 10]])
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    for kind in ("PNG", "TIFF"):
        assert decode(save(bits, kind)).pixels.tolist() == [[0, 1], [1, 0]]


def test_floating_point_tiff() -> None:
    unit = np.array([[0.25, 0.5], [0.75, 0.5]], np.float32)
    assert np.array_equal(decode(save(Image.fromarray(unit), "TIFF")).pixels, unit)
    wide = Image.fromarray(unit * 1000 - 500)
    assert np.allclose(decode(save(wide, "TIFF")).pixels, [[0, 0.5], [1, 0.5]])
    with pytest.raises(UnreadableImageError, match="not numbers"):
        decode(save(Image.fromarray(np.array([[np.nan, 1], [1, 0]], np.float32)), "TIFF"))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_with_white_as_zero(bits: int) -> None:
    values = np.array([[0, 2**bits - 1], [2**bits - 1, 2**bits - 1]], np.uint8 if bits == 8 else np.uint16)
    content = save(Image.fromarray(values), "TIFF", tiffinfo={262: 0})
    expected = 1 - values / (2**bits - 1) if bits == 16 else None
    decoded = decode(content).pixels
    # Pillow's writer inverts 8-bit data itself when told this tag, so there the round trip is the identity.
    assert np.array_equal(decoded, values / 255 if expected is None else expected)


def test_cmyk_jpeg() -> None:
    image = Image.fromarray(np.full((16, 16, 3), 100, np.uint8)).convert("CMYK")
    assert np.allclose(decode(save(image, "JPEG", quality=95)).pixels, 100 / 255, atol=0.03)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_orientation_agrees_with_pillow(orientation: int, kind: str) -> None:
    from PIL import ImageOps

    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    tagged = Image.open(io.BytesIO(save(image, "PNG", exif=exif)))
    expected = np.asarray(ImageOps.exif_transpose(tagged)) / np.float32(255)
    content = save(image, kind, **({"exif": exif} if kind == "PNG" else {"tiffinfo": {274: orientation}}))
    assert np.array_equal(decode(content).pixels, expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_truncated_pictures(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 96), np.uint8)
    content = save(Image.fromarray(noise), kind)
    with pytest.raises(UnreadableImageError, match="damaged") as caught:
        decode(content[: int(len(content) * share)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_animations_and_pages_are_refused(kind: str) -> None:
    frames = [Image.fromarray(np.roll(GREY, shift)) for shift in (0, 10, 20)]
    content = save(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableImageError, match="several frames"):
        decode(content)


def test_a_bomb_is_refused_by_its_header() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    for width, height in ((12_000, 12_000), (60_000, 60_000)):
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
        with pytest.raises(UnreadableImageError, match="far too large"):
            decode(content + chunk(b"IEND", b""))
