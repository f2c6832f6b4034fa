"""From a network's coarse map to a heat map at the image's size, in [0, 1], 1 = most important."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Scale = Literal["rectified", "min_max", "magnitude"]
"""How a map becomes [0, 1]: see :func:`normalise`."""


def heat_map(values: NDArray[np.float32], shape: tuple[int, int], scale: Scale = "rectified") -> NDArray[np.float32]:
    """Bring a coarse map to the image's size, then to [0, 1].

    In this order, since interpolation flattens peaks: the hottest pixel of the result is 1.

    Parameters
    ----------
    values
        float (h, w), any range.
    shape
        Rows and columns of the image.
    scale
        See :func:`normalise`.

    Returns
    -------
    NDArray
        float32, of the given shape, in [0, 1].
    """
    return normalise(upsample(values, shape), scale)


def upsample(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Interpolate a map bilinearly, with pixel centres aligned and edges repeated.

    Parameters
    ----------
    values
        float (h, w), any range.
    shape
        Rows and columns of the result, each at least 1.

    Returns
    -------
    NDArray
        float32, of the given shape, within the range of the input.
    """
    rows, columns = shape
    small = np.ascontiguousarray(_checked(values))
    return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def normalise(values: NDArray[np.float32], scale: Scale = "rectified") -> NDArray[np.float32]:
    r"""Scale a map to [0, 1] with its hottest spot at 1; the order of what stays is kept, never turned round.

    ``"rectified"``: :math:`\max(x, 0) / \max x`, evidence for the class alone (Selvaraju 2017).
    ``"min_max"``: :math:`(x - \min x) / (\max x - \min x)`, the least spot becomes 0 (Zhou 2016, as usually shown).
    ``"magnitude"``: :math:`|x| / \max |x|`, for signed gradients.

    Parameters
    ----------
    values
        float (H, W), any range.
    scale
        Which of the three.

    Returns
    -------
    NDArray
        float32 (H, W) in [0, 1]; zeros where nothing stands out (a constant map, or no positive value to rectify).

    Raises
    ------
    ValueError
        If the map is empty, not two-dimensional or not finite.
    """
    values = _checked(values).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if scale == "rectified":
        kept, top = np.maximum(values, 0), high
    elif scale == "magnitude":
        kept, top = np.abs(values), max(-low, high)
    else:
        kept, top = values - low, high - low
    if high <= low or top <= 0:
        return np.zeros(values.shape, np.float32)
    return (kept / top).astype(np.float32)


def _checked(values: NDArray[np.float32]) -> NDArray[np.float32]:
    values = np.asarray(values, dtype=np.float32)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"a map must be (H, W) and finite, got {values.shape}")
    return values
