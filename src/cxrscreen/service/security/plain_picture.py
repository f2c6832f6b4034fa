"""A picture without what its file says beside the pixels: comments, places, names of devices, a smaller copy."""

import io
from typing import IO, Any, Final

from PIL import Image, ImageOps, TiffImagePlugin

from cxrscreen.imaging.picture import PICTURE_FORMATS
from cxrscreen.service.problems import UnreadableUploadError

_MODES: Final = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Whose samples PNG holds as they are."""
_PHOTOMETRIC_TAG: Final = 262
_BITS_TAG: Final = 258
_PNG_DEPTH_AT: Final = 24


def plain_picture(content: IO[bytes]) -> IO[bytes]:
    """Write a picture anew as PNG: the same samples, upright, and nothing else.

    Parameters
    ----------
    content
        PNG, JPEG, WebP or TIFF, whose size was checked.

    Raises
    ------
    UnreadableUploadError
        If it is damaged, or of a kind whose samples PNG does not hold as they are.
    """
    try:
        image: Image.Image = Image.open(content, formats=("PNG", "JPEG", "WEBP", "TIFF"))
        image.load()
        if image.format not in PICTURE_FORMATS or image.mode not in _MODES or _reads_otherwise(image, content):
            raise UnreadableUploadError(
                "The picture is of a kind that is not de-identified; send DICOM, or a grey PNG of 8 or 16 bits."
            )
        if "transparency" in image.info and image.mode != "I;16":
            image = image.convert("RGBA")
        upright = ImageOps.exif_transpose(image)
    except UnreadableUploadError:
        raise
    except Exception as error:
        # Pillow's format plugins raise what they like on damaged files.
        raise UnreadableUploadError(
            f"The picture is damaged ({type(error).__name__}); copy or export it again."
        ) from None
    upright.info = {}
    written = io.BytesIO()
    upright.save(written, "PNG", compress_level=1)
    written.seek(0)
    return written


def _reads_otherwise(image: Image.Image, content: IO[bytes]) -> bool:
    """Whether Pillow cuts deep colours to 8 bits, or leaves a deep picture inverted."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits: Any = image.tag_v2.get(_BITS_TAG, 1)
        deepest = max(bits) if isinstance(bits, tuple) else bits
        deep = image.mode == "I;16"
        return (deepest > 8 and not deep) or (deep and image.tag_v2.get(_PHOTOMETRIC_TAG) == 0)
    content.seek(_PNG_DEPTH_AT)
    return image.format == "PNG" and content.read(1) == b"\x10" and image.mode != "I;16"
