"""What the reader refuses before it spends memory, and how it words a refusal."""

from dataclasses import dataclass
from pathlib import Path

from cxrscreen.errors import UnreadableImageError


@dataclass(frozen=True)
class ReadLimits:
    """Bounds a file must keep; they are checked on headers, before any pixel is decoded.

    Parameters
    ----------
    max_pixels
        Largest rows x columns; default 100 megapixels (a 43 x 43 cm detector at 0.1 mm has 18).
    max_bytes
        Largest file, and largest content of a deflated DICOM file, in bytes; default 512 MiB.
    min_side
        Smallest side in pixels; default 64.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 512 * 2**20
    min_side: int = 64


DEFAULT_LIMITS = ReadLimits()


def refusal(
    path: Path, reason: str, remedy: str, kind: type[UnreadableImageError] = UnreadableImageError
) -> UnreadableImageError:
    """Build the error for a file that cannot become a radiograph.

    Parameters
    ----------
    path
        The file.
    reason
        What is wrong, as the rest of a sentence that starts with the file's name, without header text of the file.
    remedy
        What to do, as an imperative.
    kind
        Of the error.

    Returns
    -------
    UnreadableImageError
        One sentence: file, reason, remedy. The caller raises it.
    """
    return kind(f"{path} {reason}; {remedy}.")


def check_shape(path: Path, rows: int, columns: int, limits: ReadLimits) -> None:
    """Refuse an image whose header announces too many or too few pixels.

    Parameters
    ----------
    path
        The file, for the message.
    rows, columns
        Size the header announces, in pixels.
    limits
        The bounds.

    Raises
    ------
    UnreadableImageError
        If a side is shorter than ``min_side`` or the area exceeds ``max_pixels``.
    """
    if min(rows, columns) < limits.min_side:
        raise refusal(
            path,
            f"is too small for a radiograph ({columns} x {rows} pixels, at least {limits.min_side} a side are needed)",
            "use the original image, not a thumbnail",
        )
    if rows * columns > limits.max_pixels:
        raise refusal(
            path,
            f"is far too large ({columns} x {rows} pixels, at most {limits.max_pixels / 1e6:g} megapixels are read)",
            "export it at the detector's own size or raise the limit",
        )
