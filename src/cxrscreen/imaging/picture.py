"""PNG, JPEG, WebP and TIFF pictures -> grey values, with their full depth."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from cxrscreen.imaging.decoded import COLOUR_WARNING, Decoded, is_coloured, luminance
from cxrscreen.imaging.limits import ReadLimits, check_shape, refusal
from cxrscreen.imaging.radiograph import Provenance

PICTURE_FORMATS = {"PNG": "PNG", "JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WebP", "TIFF": "TIFF"}
"""Pillow's name of a format -> ours; MPO is what telephones call a JPEG with a second, smaller picture behind it."""

DEEP_RANGES = (8, 10, 12, 14, 16)
"""Depths in bits that detectors have; a 16-bit picture is scaled by the smallest one that holds its largest value."""

_RECOPY = "copy or export it again"
_ORIENTATION_TAG = 0x0112
_PHOTOMETRIC_TAG = 262
_WHITE_IS_ZERO = 0


def is_picture(content: bytes) -> bool:
    """Whether a file's content starts as PNG, JPEG, WebP or TIFF does.

    Parameters
    ----------
    content
        The file.

    Returns
    -------
    bool
        True also for a damaged file with the right start.
    """
    starts = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
    return content.startswith(starts) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def read_picture(path: Path, content: bytes, limits: ReadLimits) -> Decoded:
    """Read a picture of a radiograph.

    Parameters
    ----------
    path
        The file, for messages and provenance.
    content
        Its bytes.
    limits
        Bounds on its size; the header is checked before a pixel is decoded.

    Returns
    -------
    Decoded
        8-bit samples are divided by 255. 16-bit samples keep their depth and are divided by the top of the smallest
        depth in ``DEEP_RANGES`` that holds the largest value (12-bit data in a 16-bit file are common); their
        transparency is divided by 65535. Floating-point samples in [0, 1] are kept, others, and 32-bit integers, are
        spread from their smallest to their largest. Colours become luminance, with a warning where they are strong.
        Transparency is composited over black, and fully transparent pixels are background. An orientation tag is
        applied.

    Raises
    ------
    UnreadableImageError
        If the picture is damaged, truncated, animated, of several pages, in an unknown colour space, or breaks the
        limits.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "TIFF"))
    except Image.DecompressionBombError as error:
        raise refusal(path, "is far too large", "export it at the detector's own size") from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's format plugins raise what they like on damaged headers.
        raise refusal(path, "is a damaged picture", _RECOPY) from error
    name = PICTURE_FORMATS[str(image.format)]
    check_shape(path, image.height, image.width, limits)
    if image.format != "MPO" and _has_second_frame(image):
        raise refusal(
            path, f"is a {name} file with several frames or pages", "export the one image to screen by itself"
        )
    stored_mode, stored_size = image.mode, (image.height, image.width)
    depth = _sample_bits(image, content)
    white_is_zero = _tiff_tag(image, _PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
    try:
        image.load()
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except MemoryError:
        raise
    except Exception as error:
        raise refusal(path, f"is a truncated or damaged {name} file", _RECOPY) from error
    samples = _samples(path, image, content, depth)
    if not np.isfinite(samples).all():
        raise refusal(path, "holds values that are not numbers", _RECOPY)
    pixels, background, coloured = _to_grey(_scale(samples))
    if white_is_zero and stored_mode not in ("1", "L"):
        # Pillow puts only shallow pictures right.
        pixels = np.float32(1.0) - pixels
    pixels = _orient(pixels, orientation)
    return Decoded(
        pixels=pixels,
        background=None if background is None else _orient(background, orientation),
        provenance=Provenance(path=path, format=name, photometric=stored_mode, bits=depth, original_shape=stored_size),
        warnings=(COLOUR_WARNING,) if coloured else (),
    )


def _has_second_frame(image: Image.Image) -> bool:
    if getattr(image, "is_animated", False) and not isinstance(image, TiffImagePlugin.TiffImageFile):
        return True
    try:
        image.seek(1)
    except EOFError:
        image.seek(0)
        return False
    return True


def _sample_bits(image: Image.Image, content: bytes) -> int:
    """Bits of a sample as stored; Pillow's mode says nothing of deep colours."""
    if image.format == "PNG":
        return content[24]
    bits = _tiff_tag(image, 258)
    if bits is not None:
        return int(bits[0] if isinstance(bits, tuple) else bits)
    return 1 if image.mode == "1" else 8


def _tiff_tag(image: Image.Image, tag: int) -> Any:
    return image.tag_v2.get(tag) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


def _samples(path: Path, image: Image.Image, content: bytes, depth: int) -> NDArray[Any]:
    """Decode to (H, W), or (H, W, C) with C = 2 (grey, alpha), 3 or 4 (red, green, blue, alpha)."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        return np.asarray(image)
    if depth == 16:
        # Pillow cuts deep samples with more than one channel to 8 bits; OpenCV keeps them.
        deep = cv2.imdecode(
            np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        )
        if deep is None:
            raise refusal(path, "has 16-bit colours that cannot be decoded", "export it as a 16-bit grey picture")
        return np.asarray(deep) if deep.ndim == 2 else np.asarray(deep)[..., [2, 1, 0, 3][: deep.shape[2]]]
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    try:
        return np.asarray(image.convert("RGBA" if transparent else "RGB"))
    except ValueError as error:
        raise refusal(path, f"has colours of a kind that is not read ({image.mode})", "export it in grey") from error


def _scale(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Bring samples of any type into [0, 1]."""
    if samples.dtype == np.uint8:
        return samples.astype(np.float32) / np.float32(255.0)
    low, high = float(samples.min()), float(samples.max())
    # In either byte order: Pillow keeps that of a TIFF.
    if samples.dtype.kind == "u" and samples.dtype.itemsize == 2:
        if _has_alpha(samples):
            # Opacity fills 16 bits however deep the colours are.
            return np.dstack([_scale(samples[..., :-1]), samples[..., -1].astype(np.float32) / np.float32(65535.0)])
        top = 2 ** next(bits for bits in DEEP_RANGES if high < 2**bits) - 1
        return samples.astype(np.float32) / np.float32(top)
    if samples.dtype.kind == "f" and low >= 0.0 and high <= 1.0:
        return samples.astype(np.float32)
    span = high - low
    if span <= 0.0:
        return np.zeros(samples.shape, dtype=np.float32)
    return np.clip((samples.astype(np.float64) - low) / span, 0.0, 1.0).astype(np.float32)


def _has_alpha(samples: NDArray[Any]) -> bool:
    return samples.ndim == 3 and samples.shape[2] in (2, 4)


def _to_grey(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None, bool]:
    """Grey values, background (or None) and whether the picture is in colour."""
    if samples.ndim == 2:
        return samples, None, False
    alpha = samples[..., -1] if _has_alpha(samples) else None
    colours = samples[..., :3] if samples.shape[2] >= 3 else None
    pixels = samples[..., 0] if colours is None else luminance(colours)
    coloured = colours is not None and is_coloured(colours)
    if alpha is None or bool((alpha == 1.0).all()):
        return np.ascontiguousarray(pixels), None, coloured
    return pixels * alpha, alpha == 0.0, coloured


def _orient(array: NDArray[Any], orientation: object) -> NDArray[Any]:
    """Apply an EXIF orientation (1 to 8); anything else is left as it is."""
    if orientation in (5, 6, 7, 8):
        array = array.T
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
