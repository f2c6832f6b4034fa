"""The form of the lungs: how large they are, how long and how smooth their outline is."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.masks import LEFT_LUNG, RIGHT_LUNG

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class LungShape:
    """Form of the two lungs.

    Parameters
    ----------
    right_area, left_area
        Share of the image covered by each, in [0, 1].
    contour_length
        Outlines of both together, in sides of an image of the same area; None without lungs.
    irregularity
        Mean over the lungs of outline / outline of a disc of the same area: 1 for a disc, larger for a long or ragged
        lung; None without lungs.
    solidity
        Mean over the lungs of area / area of the convex hull, in (0, 1]; low where a part is missing from within; None
        without lungs.
    """

    right_area: float
    left_area: float
    contour_length: float | None
    irregularity: float | None
    solidity: float | None


def lung_shape(mask: Mask) -> LungShape:
    """Measure the form of the lungs in a mask.

    All figures depend on the aspect ratio, and lengths on the resolution: compare masks of one size alone.

    Parameters
    ----------
    mask
        uint8 (H, W): 1 right lung (viewer's left), 2 left lung, all else is not lung.

    Returns
    -------
    LungShape
        A lung of several pieces is measured by its largest.

    References
    ----------
    Oh et al. 2020, section III-B ("lung morphology"); the paper shows the outlines and gives no formula.
    """
    side = math.sqrt(mask.size)
    lengths, irregularities, solidities = [], [], []
    for lung in (RIGHT_LUNG, LEFT_LUNG):
        contour = _contour(largest_piece(mask == lung))
        if contour is None:
            continue
        length = cv2.arcLength(contour, closed=True)
        # A contour runs through the centres of its pixels, so both areas are the polygons' and not pixel counts.
        area, hull = cv2.contourArea(contour), cv2.contourArea(cv2.convexHull(contour))
        lengths.append(length / side)
        irregularities.append(length / (2 * math.sqrt(math.pi * area)))
        solidities.append(area / hull)
    return LungShape(
        right_area=float((mask == RIGHT_LUNG).mean()),
        left_area=float((mask == LEFT_LUNG).mean()),
        contour_length=sum(lengths) if lengths else None,
        irregularity=float(np.mean(irregularities)) if lengths else None,
        solidity=float(np.mean(solidities)) if lengths else None,
    )


def largest_piece(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Largest connected piece of a region (H, W), 8-neighbours; empty for an empty region."""
    count, labels, figures, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    if count < 2:
        return np.zeros(region.shape, np.bool_)
    largest = 1 + int(np.argmax(figures[1:, cv2.CC_STAT_AREA]))
    return np.asarray(labels == largest, dtype=np.bool_)


def _contour(region: NDArray[np.bool_]) -> NDArray[np.int32] | None:
    found, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not found or cv2.contourArea(found[0]) == 0:
        return None
    return np.asarray(found[0], dtype=np.int32)
