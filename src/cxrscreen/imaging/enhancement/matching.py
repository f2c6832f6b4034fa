"""Histogram matching: one image's grey-value distribution given to another (COVID-CXNet paper, section 5.3)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.enhancement.levels import BRIGHTEST, histogram_of, look_up, to_levels

QUANTILES = 256
"""Grey values that stand for a reference image, so that a model's card can carry them."""


def match_histogram(pixels: NDArray[np.float32], reference: Sequence[float]) -> NDArray[np.float32]:
    """Give an image the grey-value distribution of a reference.

    Each of 256 grey levels becomes the reference's grey value at the share of pixels that are at most as bright.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    reference
        Grey values in [0, 1] at equally spaced shares from 0 to 1, rising: :func:`grey_quantiles` of an image.

    Returns
    -------
    ndarray
        float32 (H, W) in [0, 1].

    Raises
    ------
    ValueError
        If the reference has fewer than two values, falls, or leaves [0, 1].
    """
    values = np.asarray(reference, dtype=np.float64)
    if values.ndim != 1 or values.size < 2 or (np.diff(values) < 0).any() or values[0] < 0 or values[-1] > 1:
        raise ValueError("a reference is two or more rising grey values in [0, 1]")
    levels = to_levels(pixels)
    share = np.cumsum(histogram_of(levels)) / levels.size
    return look_up(levels, np.interp(share, np.linspace(0, 1, values.size), values) * BRIGHTEST)


def grey_quantiles(pixels: NDArray[np.float32]) -> tuple[float, ...]:
    """Grey values of an image at 256 equally spaced shares from 0 to 1, rounded to four digits."""
    found = np.quantile(pixels, np.linspace(0, 1, QUANTILES), method="inverted_cdf")
    return tuple(round(float(value), 4) for value in found)
