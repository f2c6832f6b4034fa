r"""Bi-histogram equalisation with adaptive sigmoid functions.

Arriaga-Garcia, Sanchez-Yanez, Garcia-Hernandez: Image enhancement using bi-histogram equalization with adaptive sigmoid
functions, CONIELECOMP 2014 (reference [81] of the COVID-CXNet paper).
"""

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.enhancement.levels import BRIGHTEST, COUNT, histogram_of, look_up, to_levels

GAMMA = 1.5
"""The COVID-CXNet paper's slope, section 3.2."""
LEAST_GAMMA, GREATEST_GAMMA = 0.01, 100.0
"""Slopes between which the sigmoids are neither flat nor steps in floating point."""
REACH = 5.0
"""Width of the sigmoid's argument over each half of the grey scale."""


def beasf(pixels: NDArray[np.float32], gamma: float = GAMMA, *, as_published: bool = False) -> NDArray[np.float32]:
    """Enhance the contrast on either side of the mean grey value by a sigmoid around that side's median.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1]; 256 grey levels are told apart.
    gamma
        Slope of the sigmoids, 0.01 to 100; larger means more contrast about the two medians.
    as_published
        Repeat the COVID-CXNet authors' code, see :func:`published_table`; for comparison alone.

    Returns
    -------
    ndarray
        float32 (H, W) in [0, 1]. Order of grey values, black, white and the mean are kept.

    Raises
    ------
    ValueError
        If gamma is outside that range.
    """
    if not LEAST_GAMMA <= gamma <= GREATEST_GAMMA:
        raise ValueError(f"gamma must be from {LEAST_GAMMA:g} to {GREATEST_GAMMA:g}, got {gamma}")
    levels = to_levels(pixels)
    return look_up(levels, published_table(levels, gamma) if as_published else beasf_table(histogram_of(levels), gamma))


def beasf_table(histogram: NDArray[np.int64], gamma: float) -> NDArray[np.float64]:
    r"""New grey value of each level.

    With m the mean level rounded down, and p the first level at which more than half of the pixels of a side (0 to m,
    or m to 255) are counted:

    .. math:: s(g) = \frac{1}{1 + e^{-\gamma x}}, \quad x = \frac{5 (g - p)}{n}, \quad n = m \text{ or } 255 - m,

    scaled linearly so that 0, m and 255 stay what they are.

    Parameters
    ----------
    histogram
        int64 (256,), pixels at each level; not all zero.
    gamma
        Above 0.

    Returns
    -------
    ndarray
        float64 (256,) in [0, 255], rising.
    """
    grey = np.arange(COUNT)
    mean = int(histogram @ grey // histogram.sum())
    table = grey.astype(np.float64)
    for first, last in ((0, mean), (mean, BRIGHTEST)):
        if last > first:
            side = slice(first, last + 1)
            sigmoid = _sigmoid(grey[side], _middle(histogram, first, last), last - first, gamma)
            share = (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])
            table[side] = first + (last - first) * share
    return table


def published_table(levels: NDArray[np.uint8], gamma: float) -> NDArray[np.float64]:
    """New grey value of each level by the COVID-CXNet authors' ``BEASF.py``, as its repository has it.

    It departs from :func:`beasf_table` in three ways. Its histogram has 256 bins between the image's own darkest and
    brightest level and is then read as if they were levels 0 to 255. Its upper half begins a level late: what becomes m
    is m + 1, not m. Results are cut to whole numbers. (The upper median and the upper sigmoid are each read a level too
    low, which cancels out unless that median is the mean.) Where the code divides by zero (an image of one level, a
    mean near either end) the levels stay what they are.
    """
    grey = np.arange(COUNT)
    mean = int(levels.sum(dtype=np.int64)) // levels.size
    table = grey.astype(np.float64)
    histogram = np.histogram(levels, bins=COUNT)[0]
    if not 0 < mean < BRIGHTEST - 1 or levels.min() == levels.max():
        return table
    low = np.trunc(mean * _sigmoid(grey[: mean + 1], _middle(histogram, 0, mean), mean, gamma))
    rest = BRIGHTEST - mean
    upper_middle = max(_middle(histogram, mean, BRIGHTEST) - 1, mean)
    high = np.trunc(mean + rest * _sigmoid(grey[mean:BRIGHTEST], upper_middle, rest, gamma))
    if low[-1] > low[0]:
        table[: mean + 1] = np.trunc((mean / (low[-1] - low[0])) * (low - low[0]))
    if high[-1] > high[0]:
        table[mean + 1 :] = np.trunc(rest * (high - high[0]) / (high[-1] - high[0]) + mean)
    return table


def _sigmoid(grey: NDArray[np.int64], middle: int, span: int, gamma: float) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-gamma * REACH * (grey - middle) / span)), dtype=np.float64)


def _middle(histogram: NDArray[np.int64], first: int, last: int) -> int:
    """First level of a side at which more than half of its pixels are counted; its lower end where it has none."""
    counted = np.cumsum(histogram[first : last + 1])
    return first + int(np.argmax(2 * counted > counted[-1]))
