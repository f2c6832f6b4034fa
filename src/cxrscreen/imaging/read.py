"""A file -> a radiograph: the one way in."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np

from cxrscreen.errors import OutOfMemoryError, UnreachableImageError, UnreadableImageError
from cxrscreen.imaging.decoded import Decoded
from cxrscreen.imaging.dicom import is_dicom, read_dicom
from cxrscreen.imaging.limits import DEFAULT_LIMITS, ReadLimits, refusal
from cxrscreen.imaging.picture import is_picture, read_picture
from cxrscreen.imaging.polarity import judge_polarity
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.silence import without_warnings

INVERTED_WARNING = "The image was stored inverted (air white, bone black) without saying so and has been corrected."
UNSURE_WARNING = "It is not certain that dense tissue is bright in this image; it was left as it is."

_READS = "give a DICOM, PNG, JPEG, WebP or TIFF file"
_KNOWN_STRANGERS = (
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
)


def read(path: Path | str, *, limits: ReadLimits = DEFAULT_LIMITS) -> Radiograph:
    """Read a chest radiograph; what the file holds decides how, not its name.

    Parameters
    ----------
    path
        A DICOM, PNG, JPEG, WebP or TIFF file.
    limits
        Bounds on its size.

    Returns
    -------
    Radiograph
        float32 (H, W), range [0, 1], bright = dense. Where the image is a frontal chest stored inverted without
        saying so, it is put right, ``provenance.polarity_corrected`` is set and a warning says so; where that is
        uncertain it is left alone and a warning says that.

    Raises
    ------
    UnreadableImageError
        For every file that cannot become a radiograph, whatever it holds; nothing else is raised.
        `UnreachableImageError` where the storage does not give the file and `OutOfMemoryError` where memory does not
        hold it: both say nothing of the image, and whoever has to screen it tries again.
    """
    path = Path(path)
    content = _load(path, limits)
    with without_warnings():
        try:
            if is_dicom(content):
                decoded = read_dicom(path, content, limits)
            elif is_picture(content):
                decoded = read_picture(path, content, limits)
            else:
                raise refusal(path, f"is not an image that can be read ({_describe(content)})", _READS)
            return _settle(decoded)
        except UnreadableImageError:
            raise
        except MemoryError as error:
            raise _no_memory(path) from error
        except Exception as error:
            # What parsers and codecs raise on damaged data is not one family, and a batch must go on.
            raise refusal(
                path, f"is damaged ({type(error).__name__} while reading)", "copy or export it again"
            ) from error


def _load(path: Path, limits: ReadLimits) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            os.listdir(path)  # noqa: PTH208 - one that may not be listed has another reason, said below
            raise refusal(path, "is a folder without files to read", "name a file or a folder with images")
        if not stat.S_ISREG(status.st_mode):
            raise refusal(path, "is not a regular file", _READS)
        if status.st_size == 0:
            raise refusal(path, "is empty (zero bytes)", "copy or export it again")
        if status.st_size > limits.max_bytes:
            size = f"{status.st_size / 2**20:.0f} MiB, at most {limits.max_bytes / 2**20:g} MiB are read"
            raise refusal(path, f"is far too large ({size})", "export the one image or raise the limit")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise refusal(path, "does not exist", "check the name", UnreachableImageError) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        remedy = "check the name and your rights"
        raise refusal(path, f"cannot be opened ({reason})", remedy, UnreachableImageError) from error
    except ValueError as error:
        raise refusal(path, "cannot be opened (impossible name)", "check the name and your rights") from error
    except MemoryError as error:
        raise _no_memory(path) from error


def _no_memory(path: Path) -> UnreadableImageError:
    return refusal(path, "does not fit into the memory that is left", "free memory and try again", OutOfMemoryError)


def _describe(content: bytes) -> str:
    for start, name in _KNOWN_STRANGERS:
        if content.startswith(start):
            return name
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in content[:512])
    return "it looks like text" if printable > 0.95 * len(content[:512]) else "its content is of no known kind"


def _settle(decoded: Decoded) -> Radiograph:
    """Judge the polarity, blacken the background and freeze the result."""
    pixels, provenance, notes = decoded.pixels, decoded.provenance, decoded.warnings
    # The drawn chest is a frontal one, so a lateral view is not judged by it.
    polarity = "normal" if decoded.view_position == "lateral" else judge_polarity(pixels)
    if polarity == "inverted":
        pixels = np.float32(1.0) - pixels
        if decoded.background is not None:
            pixels[decoded.background] = 0.0
        provenance = replace(provenance, polarity_corrected=True)
        notes = (*notes, INVERTED_WARNING)
    elif polarity == "unsure":
        notes = (*notes, UNSURE_WARNING)
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    pixels.flags.writeable = False
    return Radiograph(pixels, provenance, decoded.pixel_spacing_mm, decoded.view_position, notes)
