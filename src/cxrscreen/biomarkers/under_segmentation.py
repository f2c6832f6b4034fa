"""Lungs of which a mask lacks a part: made on purpose, measured against a reference, suspected without one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.masks import LEFT_LUNG, RIGHT_LUNG

Mask = NDArray[np.uint8]
Place = Literal["base", "apex", "lateral", "medial"]
PLACES: Final[tuple[Place, ...]] = ("base", "apex", "lateral", "medial")

QUARTER: Final = 0.25
"""Share of a lung whose loss counts as under-segmentation (Oh et al. 2020, section V-F3)."""


@dataclass(frozen=True)
class Symmetry:
    """What complete lungs look like side by side.

    Parameters
    ----------
    log_ratio
        Median of log(left area / right area).
    threshold
        Estimated missing share in [0, 1] from which a lung is taken as under-segmented.
    """

    log_ratio: float
    threshold: float


SYMMETRY: Final = Symmetry(log_ratio=-0.154, threshold=0.168)
"""What `fit_symmetry` gives on 226 normal training masks (Montgomery, Shenzhen; protocol ``lungs``, seed 0); every run
of ``cxrscreen biomarkers`` on these collections writes it into biomarkers.json."""


def missing_share(right_area: float, left_area: float, symmetry: Symmetry) -> float:
    """Estimate how much of one lung is missing, from the other one.

    Parameters
    ----------
    right_area, left_area
        Not negative, in any one unit.
    symmetry
        What to expect.

    Returns
    -------
    float
        Share of the lung that is too small for the other, in [0, 1]; 1 where a lung has no area at all. Two lungs that
        both miss the same share look complete.
    """
    if min(right_area, left_area) <= 0:
        return 1.0
    return 1.0 - math.exp(-abs(math.log(left_area / right_area) - symmetry.log_ratio))


def is_under_segmented(right_area: float, left_area: float, symmetry: Symmetry) -> bool:
    """Whether the estimated missing share reaches the threshold; parameters as for `missing_share`."""
    return missing_share(right_area, left_area, symmetry) >= symmetry.threshold


def fit_symmetry(areas: Sequence[tuple[float, float]], share: float = QUARTER) -> Symmetry:
    """Learn the symmetry of complete lungs and the threshold that tells them best from incomplete ones.

    Parameters
    ----------
    areas
        Right and left area of complete lungs, at least one pair, both positive.
    share
        Taken from the right and from the left lung of each pair to make the incomplete ones, in (0, 1).

    Returns
    -------
    Symmetry
        Its threshold has the largest sum of sensitivity and specificity.

    Raises
    ------
    ValueError
        If there is no pair, an area is not positive or the share is out of range.
    """
    # The server's pages need the share alone, and scikit-learn takes long to import.
    from sklearn.metrics import roc_curve  # noqa: PLC0415

    if not areas or min(map(min, areas)) <= 0 or not 0 < share < 1:
        raise ValueError("symmetry is learned from pairs of positive areas and a share between 0 and 1")
    log_ratio = float(np.median([math.log(left / right) for right, left in areas]))
    own = Symmetry(log_ratio, share)
    complete = [missing_share(right, left, own) for right, left in areas]
    lost = [
        missing_share(right * a, left * b, own) for right, left in areas for a, b in ((1 - share, 1), (1, 1 - share))
    ]
    false_rate, true_rate, thresholds = roc_curve([0] * len(complete) + [1] * len(lost), [*complete, *lost])
    return Symmetry(log_ratio, float(thresholds[1:][np.argmax((true_rate - false_rate)[1:])]))


def missed_share(mask: Mask, reference: Mask) -> float:
    """Share of the reference lungs that a mask leaves out.

    Parameters
    ----------
    mask, reference
        uint8 (H, W): 1 and 2 are lung, all else is not.

    Returns
    -------
    float
        In [0, 1]; under-segmented from `QUARTER` on.

    Raises
    ------
    ValueError
        If the shapes differ or the reference has no lung.
    """
    if mask.shape != reference.shape:
        raise ValueError(f"the masks must have one shape, got {mask.shape} and {reference.shape}")
    lung = _is_lung(reference)
    if not lung.any():
        raise ValueError("the reference has no lung")
    return float((lung & ~_is_lung(mask)).sum() / lung.sum())


def without_part(mask: Mask, lung: int, place: Place, share: float = QUARTER) -> Mask:
    """Take a part of one lung away, as an opacity does that the segmentation leaves out.

    Parameters
    ----------
    mask
        uint8 (H, W): 1 right lung (viewer's left), 2 left lung.
    lung
        1 or 2.
    place
        Where the part lies in the lung.
    share
        Of the lung's pixels, in [0, 1].

    Returns
    -------
    ndarray
        uint8 (H, W), a copy; the pixels taken away are 0.
    """
    rows, columns = np.nonzero(mask == lung)
    # The right lung's lateral side lies at the viewer's left: small columns.
    outward = -columns if lung == RIGHT_LUNG else columns
    depth = {"base": rows, "apex": -rows, "lateral": outward, "medial": -outward}[place]
    taken = np.argsort(-depth, kind="stable")[: round(share * rows.size)]
    rest = mask.copy()
    rest[rows[taken], columns[taken]] = 0
    return rest


def _is_lung(mask: Mask) -> NDArray[np.bool_]:
    return np.isin(mask, (RIGHT_LUNG, LEFT_LUNG))
