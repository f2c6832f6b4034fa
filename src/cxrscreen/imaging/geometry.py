"""Size and margins of grey-value arrays."""

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN_TOLERANCE = 0.03
"""Largest difference in grey value, in [0, 1], between a margin's pixels and its outermost line's median."""
MARGIN_STRAY_SHARE = 0.02
"""Largest share of a margin line's pixels that may differ more (noise, thin marks)."""
MARGIN_ROUNDS = 4
"""Frames inside frames that are peeled off at most (a white page round a black bar round the image)."""


def resize(pixels: NDArray[np.floating] | NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resample to a size: by area averaging where the image shrinks, by linear interpolation where it grows.

    Parameters
    ----------
    pixels
        (H, W), any real type and range.
    size
        Rows and columns wanted, each at least 1.

    Returns
    -------
    float32 (h, w)
        Within the range of the input; each axis is treated by its own ratio.

    Raises
    ------
    ValueError
        If the input is not a non-empty (H, W) array or a wanted side is smaller than 1.
    """
    if pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"pixels must be a non-empty (H, W) array, got {pixels.shape}")
    rows, columns = size
    if rows < 1 or columns < 1:
        raise ValueError(f"size must be at least 1 x 1, got {size}")
    image = np.ascontiguousarray(pixels, dtype=np.float32)
    # OpenCV's area mode shrinks properly only where both axes shrink, so each group of axes is done on its own.
    smaller = (min(rows, image.shape[0]), min(columns, image.shape[1]))
    if smaller != image.shape:
        image = np.asarray(cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA), dtype=np.float32)
    if size != smaller:
        image = np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    return image.reshape(rows, columns)


def uniform_margins(
    pixels: NDArray[np.float32], *, tolerance: float = MARGIN_TOLERANCE, stray_share: float = MARGIN_STRAY_SHARE
) -> tuple[int, int, int, int]:
    """Measure the uniform margins: collimation borders, black bars, white frames, also nested ones.

    A line belongs to a margin where at most ``stray_share`` of its pixels lie further than ``tolerance`` from the
    median of the outermost line on its side.

    Parameters
    ----------
    pixels
        (H, W), range [0, 1].
    tolerance
        In grey values, [0, 1].
    stray_share
        In [0, 1].

    Returns
    -------
    tuple of int
        Rows at the top and bottom, columns at the left and right; all zero for an image without content.
    """
    height, width = pixels.shape
    top = bottom = left = right = 0
    for _ in range(MARGIN_ROUNDS):
        inner = pixels[top : height - bottom, left : width - right]
        upper, lower = _both_ends(inner, tolerance, stray_share)
        inner = inner[upper : inner.shape[0] - lower]
        if inner.size == 0:
            return 0, 0, 0, 0
        first, last = _both_ends(inner.T, tolerance, stray_share)
        if first + last >= inner.shape[1]:
            return 0, 0, 0, 0
        top, bottom, left, right = top + upper, bottom + lower, left + first, right + last
        if upper + lower + first + last == 0:
            break
    return top, bottom, left, right


def _both_ends(lines: NDArray[np.float32], tolerance: float, stray_share: float) -> tuple[int, int]:
    start = _uniform_lines(lines, tolerance, stray_share)
    end = _uniform_lines(lines[start:][::-1], tolerance, stray_share) if start < len(lines) else 0
    return start, end


def _uniform_lines(lines: NDArray[np.float32], tolerance: float, stray_share: float) -> int:
    level = np.median(lines[0])
    allowed = stray_share * lines.shape[1]
    for index, line in enumerate(lines):
        if np.count_nonzero(np.abs(line - level) > tolerance) > allowed:
            return index
    return len(lines)
