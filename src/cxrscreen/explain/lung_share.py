"""How much of a heat map lies in the lungs."""

import numpy as np
from numpy.typing import NDArray


def lung_share(heat: NDArray[np.float32], lung_mask: NDArray[np.uint8]) -> float | None:
    r"""Share of a map's sum inside the lungs: :math:`\sum_{lung} H / \sum H`.

    Compare it with the lungs' share of the area: a map that is the same everywhere has exactly that share.

    Parameters
    ----------
    heat
        float (H, W), not negative.
    lung_mask
        (H, W), 0 is background, all else is lung.

    Returns
    -------
    float or None
        In [0, 1]; None for a map of zeros.

    Raises
    ------
    ValueError
        If the shapes differ, or the map has negative or not finite values.
    """
    if heat.shape != lung_mask.shape:
        raise ValueError(f"map and mask must have one shape, got {heat.shape} and {lung_mask.shape}")
    total = float(heat.sum(dtype=np.float64))
    if not np.isfinite(total) or heat.min(initial=0) < 0:
        raise ValueError("a map must be finite and not negative")
    if total == 0:
        return None
    return min(1.0, float(heat[lung_mask > 0].sum(dtype=np.float64)) / total)
