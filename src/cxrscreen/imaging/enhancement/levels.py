"""Radiographs as 256 grey levels, on which the published enhancements are defined, and back."""

import numpy as np
from numpy.typing import NDArray

COUNT = 256
BRIGHTEST = COUNT - 1


def to_levels(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Nearest of 256 levels of an image in [0, 1]; uint8 of the same shape."""
    return np.asarray(pixels * np.float32(BRIGHTEST) + np.float32(0.5), dtype=np.uint8)


def from_levels(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Levels 0 to 255 as float32 in [0, 1]."""
    return np.asarray(levels * np.float32(1 / BRIGHTEST), dtype=np.float32).clip(max=1.0)


def histogram_of(levels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of pixels at each of the 256 levels, int64 (256,)."""
    return np.bincount(levels.ravel(), minlength=COUNT)


def look_up(levels: NDArray[np.uint8], table: NDArray[np.floating]) -> NDArray[np.float32]:
    """Replace each level by the table's grey value in [0, 255]; float32 in [0, 1] of the levels' shape."""
    grey = (np.clip(table, 0, BRIGHTEST) / BRIGHTEST).astype(np.float32)
    return np.asarray(grey[levels], dtype=np.float32)
