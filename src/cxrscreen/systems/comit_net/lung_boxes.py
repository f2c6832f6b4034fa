"""Lungs as the COMiT-Net paper draws them: a solid box around each of the two (section 3.2)."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label


def boxes_around(lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the box around each of the two largest connected regions.

    Parameters
    ----------
    lungs
        bool (H, W).

    Returns
    -------
    ndarray
        bool (H, W); empty for an empty mask.
    """
    numbered, count = label(lungs)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    places = find_objects(numbered)
    boxes = np.zeros_like(lungs)
    for index in np.argsort(-sizes, kind="stable")[:2]:
        boxes[places[index]] = True
    return boxes
