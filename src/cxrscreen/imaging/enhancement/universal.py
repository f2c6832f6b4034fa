"""Grey values brought to one distribution, so that devices and file formats differ less."""

import cv2
import numpy as np
from numpy.typing import NDArray

WHITE = 255.0
"""Upper end of the grey scale behind histogram equalisation; the lower end is 0."""
LEVELS = 65536
"""Grey levels that are told apart: each level of an 8-bit or 16-bit file is one of them."""


def universal_preprocessing(pixels: NDArray[np.float32], side: int, gamma: float = 0.5) -> NDArray[np.float32]:
    """Equalise, correct and resize a radiograph for networks that know one grey-value distribution.

    Patch-voting paper (Oh et al., 2020), section II-A, steps 1 to 4: float32, histogram equalisation to [0, 255], gamma
    correction, resizing (256 for its segmentation, 1024 for its classification).

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1], as in a :class:`~cxrscreen.imaging.radiograph.Radiograph`.
    side
        Rows and columns of the result; the aspect ratio is given up, as in the paper.
    gamma
        Exponent of the correction; below 1 brightens.

    Returns
    -------
    ndarray
        float32 (side, side) in [0, 255].
    """
    return resize_to_square(correct_gamma(equalise_histogram(pixels), gamma), side)


def equalise_histogram(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Spread grey values evenly: each becomes the share of pixels that are at most as bright, without the darkest.

    .. math:: v' = 255 \cdot \frac{C(v) - C_{min}}{N - C_{min}}

    with C the cumulative histogram of the N pixels and :math:`C_{min}` that of the darkest level which occurs: what
    OpenCV does for 8 bits, here without rounding and for 16.

    Parameters
    ----------
    pixels
        float (H, W) in [0, 1].

    Returns
    -------
    ndarray
        float32 (H, W) in [0, 255]; zeros for an image of one grey value.
    """
    levels = np.rint(pixels * np.float32(LEVELS - 1)).astype(np.uint16)
    cumulative = np.cumsum(np.bincount(levels.ravel(), minlength=LEVELS))
    darkest = int(cumulative[int(levels.min())])
    spread = max(levels.size - darkest, 1)
    table = (WHITE * np.maximum(cumulative - darkest, 0) / spread).astype(np.float32)
    return np.asarray(table[levels], dtype=np.float32)


def correct_gamma(values: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    r"""Raise grey values in [0, 255] to a power within their range: :math:`255 (v / 255)^\gamma`."""
    return np.asarray(np.float32(WHITE) * (values / np.float32(WHITE)) ** np.float32(gamma), dtype=np.float32)


def resize_to_square(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Resize to ``side`` rows and columns: averaged over areas where it shrinks, linear where it grows."""
    shrinks = min(values.shape) > side
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (side, side), interpolation=interpolation), dtype=np.float32)
