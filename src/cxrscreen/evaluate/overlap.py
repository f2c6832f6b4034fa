"""A predicted against a reference mask: Dice, Jaccard and Hausdorff, per image and as a mean with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap
from cxrscreen.evaluate.metrics import Floats
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


def hausdorff(
    predicted: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing_mm: tuple[float, float] | None = None,
    *,
    percentile: float = 100.0,
) -> float:
    """Hausdorff distance of the edges of two masks: how far an edge lies from the other at most, in either direction.

    Parameters
    ----------
    predicted, reference
        bool (H, W). A mask's edge are its pixels with a neighbour (of four) outside it or outside the image.
    spacing_mm
        Row and column spacing in mm, for a distance in mm; None: pixels.
    percentile
        In (0, 100]: 95 gives the distance that 95 % of the edge pixels keep to, in the direction that is worse.

    Returns
    -------
    float
        At least 0; 0 where both masks are empty, NaN where one of them is.

    Raises
    ------
    ValueError
        As for `dice`, or if the percentile or a spacing is out of range.
    """
    _shared_pixels(predicted, reference)
    if not 0 < percentile <= 100 or (spacing_mm is not None and not min(spacing_mm) > 0):
        raise ValueError("the percentile must lie in (0, 100] and a spacing above 0")
    if not predicted.any() or not reference.any():
        return 0.0 if predicted.any() == reference.any() else float("nan")
    edges = [mask & ~binary_erosion(mask) for mask in (predicted, reference)]
    to_edge = [distance_transform_edt(~edge, sampling=spacing_mm) for edge in edges]
    return max(
        float(np.percentile(to_edge[1][edges[0]], percentile)), float(np.percentile(to_edge[0][edges[1]], percentile))
    )


def compare_masks(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: tuple[float, float] | None = None
) -> dict[str, float]:
    """All figures of one image: ``dice``, ``jaccard`` and the `DISTANCE_COLUMNS`, those in mm NaN without a spacing.

    Parameters and errors as for `hausdorff`.
    """
    figures = {"dice": dice(predicted, reference), "jaccard": jaccard(predicted, reference)}
    for unit, spacing in (("px", None), ("mm", spacing_mm)):
        known = unit == "px" or spacing is not None
        for name, percentile in (("hausdorff", 100.0), ("hausdorff_95", 95.0)):
            distance = hausdorff(predicted, reference, spacing, percentile=percentile) if known else float("nan")
            figures[f"{name}_{unit}"] = distance
    return figures


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

DISTANCE_COLUMNS = ("hausdorff_px", "hausdorff_95_px", "hausdorff_mm", "hausdorff_95_mm")
"""Columns that it may have besides, NaN where there is no distance or no known spacing."""


@dataclass(frozen=True)
class OverlapFigures:
    """Overlap on one set of images.

    Parameters
    ----------
    dice, jaccard
        Means over images, with intervals.
    dice_median, dice_minimum
        Of the images, in [0, 1].
    distances
        Mean of each of the `DISTANCE_COLUMNS` that the table has, over the images that have it (its ``n``).
    """

    dice: Estimate
    jaccard: Estimate
    dice_median: float
    dice_minimum: float
    distances: Mapping[str, Estimate] = field(default_factory=dict)


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
        The columns of `OVERLAP_COLUMNS`; those of `DISTANCE_COLUMNS` are measured where they are there.
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
        distances={
            name: _mean_distance(rows[name], groups, replicates, seed)
            for name in DISTANCE_COLUMNS
            if name in rows.columns and rows[name].notna().any()
        },
    )


def _mean_distance(column: "pd.Series[float]", groups: Sequence[str], replicates: int, seed: int) -> Estimate:
    known = column.notna().to_numpy()
    values: Floats = np.asarray(column, dtype=np.float64)[known]
    members = [group for group, is_known in zip(groups, known, strict=True) if is_known]
    return bootstrap(lambda weights: weighted_mean(values, weights), members, replicates=replicates, seed=seed)
