"""From the organ network's probabilities to organs in one piece, at any size."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import softmax

from cxrscreen.data.masks import HEART, LEFT_LUNG, RIGHT_LUNG
from cxrscreen.systems.cascade.lungs import at_size, two_lungs

ORGANS = ("background", "right_lung", "left_lung", "heart")
"""Classes of the organ network (Eq. 2), in the order of its logits and of the masks' indices."""
SMALLEST_HEART = 0.005
"""Share of the image below which a component is no heart."""


def organ_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the four classes of logits (4, S, S), float32."""
    return np.asarray(softmax(logits.astype(np.float64), axis=0), dtype=np.float32)


def lung_probability(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of either lung, float32 (S, S), of organ probabilities (4, S, S)."""
    return np.asarray(probabilities[RIGHT_LUNG] + probabilities[LEFT_LUNG], dtype=np.float32)


def organ_mask(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The two lungs and the heart, each in one piece and without holes.

    Parameters
    ----------
    probabilities
        float32 (4, S, S), in the order of :data:`ORGANS`.

    Returns
    -------
    ndarray
        uint8 (S, S): 0 background, 1 right lung (viewer's left), 2 left lung, 3 heart. The side of a lung follows from
        its position, so that a lung of which the network calls a part the other one stays whole.
    """
    mask = two_lungs(lung_probability(probabilities))
    labelled, count = ndimage.label((probabilities.argmax(axis=0) == HEART) & (mask == 0))
    areas = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    if count and areas.max() >= SMALLEST_HEART * mask.size:
        heart = ndimage.binary_fill_holes(labelled == int(areas.argmax()) + 1)
        mask[heart & (mask == 0)] = HEART
    return mask


def organ_mask_at_size(
    mask: NDArray[np.uint8], probabilities: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Carry an organ mask to another size with smooth outlines.

    Parameters
    ----------
    mask
        uint8 (S, S), from :func:`organ_mask`.
    probabilities
        float32 (4, S, S), from which it was made.
    shape
        Rows and columns of the result.

    Returns
    -------
    ndarray
        uint8 of ``shape``: 0, 1, 2, 3.
    """
    lungs = np.where(mask == HEART, 0, mask).astype(np.uint8)
    result = at_size(lungs, lung_probability(probabilities), shape)
    size = (shape[1], shape[0])
    heart = cv2.resize((mask == HEART).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    result[(heart >= 0.5) & (result == 0)] = HEART
    return result
