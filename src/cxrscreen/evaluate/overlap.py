"""Overlap of a predicted with a reference mask: Dice and Jaccard, per image and as a mean with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap
from cxrscreen.evaluate.weighted import weighted_mean


def dice(predicted: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Dice coefficient 2 |A and B| / (|A| + |B|).

    Parameters
    ----------
    predicted, reference
        bool arrays of one shape.

    Returns
    -------
    float
        In [0, 1]; 1 where both are empty, 0 where one of them is.

    Raises
    ------
    ValueError
        If the shapes differ or an array is not bool (an index mask must first be told what counts).
    """
    both, either = _shared_pixels(predicted, reference)
    return 1.0 if either == 0 else 2 * both / (both + either)


def jaccard(predicted: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Jaccard index |A and B| / |A or B|, in [0, 1]; empty masks, shapes and errors as for `dice`."""
    both, either = _shared_pixels(predicted, reference)
    return 1.0 if either == 0 else both / either


def mean_overlap(
    values: ArrayLike, groups: Sequence[str], *, replicates: int = REPLICATES, seed: int = 0, level: float = 0.95
) -> Estimate:
    """Mean of per-image overlaps (n,) with a bootstrap interval by patient group.

    Raises
    ------
    ValueError
        If there are no values or one is not in [0, 1].
    """
    overlaps = np.asarray(values, dtype=np.float64)
    if overlaps.ndim != 1 or overlaps.size == 0 or not ((overlaps >= 0) & (overlaps <= 1)).all():
        raise ValueError("overlaps must be (n,) numbers in [0, 1], at least one")
    return bootstrap(
        lambda weights: weighted_mean(overlaps, weights), groups, replicates=replicates, seed=seed, level=level
    )


def _shared_pixels(predicted: NDArray[np.bool_], reference: NDArray[np.bool_]) -> tuple[int, int]:
    if predicted.shape != reference.shape:
        raise ValueError(f"masks must have one shape, got {predicted.shape} and {reference.shape}")
    if predicted.dtype != np.bool_ or reference.dtype != np.bool_:
        raise ValueError(f"masks must be bool, got {predicted.dtype} and {reference.dtype}")
    return int((predicted & reference).sum()), int((predicted | reference).sum())


OVERLAP_COLUMNS = ("image_id", "source", "group", "dice", "jaccard")
"""Columns of a table of overlaps: one row per image."""


@dataclass(frozen=True)
class OverlapFigures:
    """Overlap on one set of images.

    Parameters
    ----------
    dice, jaccard
        Means over images, with intervals.
    dice_median, dice_minimum
        Of the images, in [0, 1].
    """

    dice: Estimate
    jaccard: Estimate
    dice_median: float
    dice_minimum: float


@dataclass(frozen=True)
class OverlapResult:
    """Overlap of all images together and by source."""

    overall: OverlapFigures
    sources: Mapping[str, OverlapFigures]


def evaluate_overlaps(overlaps: pd.DataFrame, *, replicates: int = REPLICATES, seed: int = 0) -> OverlapResult:
    """Measure a segmentation from its per-image overlaps.

    Parameters
    ----------
    overlaps
        The columns of `OVERLAP_COLUMNS`.
    replicates, seed
        Of the bootstrap.

    Raises
    ------
    ManifestError
        If a column is missing or there is no row.
    """
    missing = [column for column in OVERLAP_COLUMNS if column not in overlaps.columns]
    if missing:
        raise ManifestError(f"The overlaps lack the column(s) {', '.join(missing)}: give {', '.join(OVERLAP_COLUMNS)}.")
    if overlaps.empty:
        raise ManifestError("The overlaps have no row: segment at least one image that has a mask.")
    measure = partial(_figures, replicates=replicates, seed=seed)
    by_source = {str(source): measure(rows) for source, rows in overlaps.groupby("source", sort=True)}
    return OverlapResult(overall=measure(overlaps), sources=by_source)


def _figures(rows: pd.DataFrame, *, replicates: int, seed: int) -> OverlapFigures:
    groups = rows["group"].astype(str).tolist()
    return OverlapFigures(
        dice=mean_overlap(rows["dice"], groups, replicates=replicates, seed=seed),
        jaccard=mean_overlap(rows["jaccard"], groups, replicates=replicates, seed=seed),
        dice_median=float(rows["dice"].median()),
        dice_minimum=float(rows["dice"].min()),
    )
