"""What the lung network's answer looks like, in numbers a person can check on the picture."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

EDGE = 0.012
"""Width of the strip along an edge of the image that counts as the edge, as a share of its side."""


@dataclass(frozen=True)
class LungShape:
    """Measures of two lungs; shares of the image are taken on the mask's own grid.

    Parameters
    ----------
    area
        Share of the image that is lung, [0, 1].
    balance
        Smaller lung's area over the larger one's, [0, 1]; 0 where one is missing.
    solidity
        Area over the area of the convex hull, mean of the lungs weighted by area, [0, 1].
    certainty
        Mean probability inside the lungs, [0, 1].
    doubt
        Pixels with a probability in (0.1, 0.9) over those above 0.1, [0, 1]: a sharp edge has few.
    stray
        Share of the pixels at or above 0.5 that lie outside both lungs, [0, 1].
    level
        Rows that both lungs share over the rows that either has, [0, 1].
    mirrored
        Overlap (Jaccard) of the left lung with the right one mirrored, both moved to their centroid, [0, 1].
    height, width
        Of the box around both lungs, as shares of the image, [0, 1].
    aspect
        Width over height of that box in the radiograph's own pixels.
    gap
        Mean distance between the lungs over the width of the box, in [0, 1]; 1 where one is missing.
    apex
        Mean width of a lung in its upper quarter over that in its lower half.
    off_centre
        Distance of the box's centre from the image's centre, sideways, as a share of the width, [0, 0.5].
    cut_top, cut_bottom, cut_sides
        Share of the box's side along an edge of the image where lung lies within :data:`EDGE` of that edge, [0, 1]; the
        worse of left and right.
    """

    area: float
    balance: float
    solidity: float
    certainty: float
    doubt: float
    stray: float
    level: float
    mirrored: float
    height: float
    width: float
    aspect: float
    gap: float
    apex: float
    off_centre: float
    cut_top: float
    cut_bottom: float
    cut_sides: float


NO_LUNGS = LungShape(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0.5, 0, 0, 0)
"""The measures where no lung was found."""


def lung_shape(probability: NDArray[np.float32], mask: NDArray[np.uint8], shape: tuple[int, int]) -> LungShape:
    """Measure the lungs found in a radiograph.

    Parameters
    ----------
    probability
        float32 (S, T) in [0, 1]: the lung network's map.
    mask
        uint8 (S, T): 0 background, 1 right lung (viewer's left), 2 left lung.
    shape
        Rows and columns of the radiograph.
    """
    lungs = [mask == label for label in (1, 2) if (mask == label).any()]
    if not lungs:
        return NO_LUNGS
    both = mask > 0
    rows, columns = np.flatnonzero(both.any(axis=1)), np.flatnonzero(both.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    high, wide = (bottom - top) / mask.shape[0], (right - left) / mask.shape[1]
    areas = sorted(int(lung.sum()) for lung in lungs)
    strip = (max(1, round(EDGE * mask.shape[0])), max(1, round(EDGE * mask.shape[1])))
    found = probability >= 0.5
    seen = int((probability > 0.1).sum())
    hulls = sum(_hull_area(lung) for lung in lungs)
    return LungShape(
        area=float(both.mean()),
        balance=areas[0] / areas[1] if len(areas) == 2 else 0.0,
        solidity=min(1.0, sum(areas) / hulls),
        certainty=float(probability[both].mean()),
        doubt=int(((probability > 0.1) & (probability < 0.9)).sum()) / max(seen, 1),
        stray=int((found & ~both).sum()) / max(int(found.sum()), 1),
        level=_level(lungs) if len(lungs) == 2 else 0.0,
        mirrored=_mirrored(lungs[0], lungs[1]) if len(lungs) == 2 else 0.0,
        height=high,
        width=wide,
        aspect=(wide * shape[1]) / (high * shape[0]),
        gap=_gap(lungs[0], lungs[1]) / (right - left) if len(lungs) == 2 else 1.0,
        apex=float(np.mean([_apex(lung) for lung in lungs])),
        off_centre=abs((left + right) / (2 * mask.shape[1]) - 0.5),
        cut_top=_along(both[: strip[0]], 0) / (right - left),
        cut_bottom=_along(both[-strip[0] :], 0) / (right - left),
        cut_sides=max(_along(both[:, : strip[1]], 1), _along(both[:, -strip[1] :], 1)) / (bottom - top),
    )


def _along(strip: Mask, axis: int) -> int:
    return int(strip.any(axis=axis).sum())


def _hull_area(lung: Mask) -> float:
    outlines, _ = cv2.findContours(lung.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(np.concatenate(outlines))
    # A contour runs through pixel centres, so it leaves out half a pixel all round.
    return float(cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1)


def _level(lungs: list[Mask]) -> float:
    first, second = (lung.any(axis=1) for lung in lungs)
    return float((first & second).sum() / (first | second).sum())


def _mirrored(first: Mask, second: Mask) -> float:
    here, there = _centred(first[:, ::-1]), _centred(second)
    return float((here & there).sum() / (here | there).sum())


def _centred(lung: Mask) -> Mask:
    """The lung moved so that its centroid is in the middle of a square twice its image's size."""
    rows, columns = np.nonzero(lung)
    side = 2 * max(lung.shape)
    result = np.zeros((side, side), np.bool_)
    result[rows + side // 2 - round(rows.mean()), columns + side // 2 - round(columns.mean())] = True
    return result


def _gap(first: Mask, second: Mask) -> float:
    """Mean columns between the lungs in the rows that have both; 0 where they touch or overlap."""
    shared = first.any(axis=1) & second.any(axis=1)
    if not shared.any():
        return 0.0
    last = first.shape[1] - 1 - np.argmax(first[shared][:, ::-1], axis=1)
    start = np.argmax(second[shared], axis=1)
    return float(np.clip(start - last - 1, 0, None).mean())


def _apex(lung: Mask) -> float:
    widths = lung.sum(axis=1)[lung.any(axis=1)].astype(np.float64)
    quarter = max(1, len(widths) // 4)
    return float(widths[:quarter].mean() / widths[len(widths) // 2 :].mean())
