"""A predicted against a reference region, pixel by pixel: overlap, and how much is found and how much is false.

A sensitivity of pixels alone is worth nothing, for a region that covers everything has it: it stands beside the
precision always.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all
from cxrscreen.evaluate.metrics import Floats

REGION_COLUMNS = ("image_id", "source", "group", "true_positive", "false_positive", "false_negative")
"""Columns of a table of regions: one row per image, the last three in pixels."""


@dataclass(frozen=True)
class RegionFigures:
    """Figures of one set of images.

    Parameters
    ----------
    images
        How many have a reference region that is not empty; the others are left out.
    estimates
        ``iou``, ``sensitivity`` (the paper's TPR) and ``precision`` as means over images, an image without a predicted
        pixel having the precision 0; ``pixel_sensitivity`` and ``pixel_precision`` over the pixels of all images
        together.
    """

    images: int
    estimates: Mapping[str, Estimate]


def region_figures(regions: pd.DataFrame, *, replicates: int = REPLICATES) -> RegionFigures:
    """Measure regions with intervals by patient group.

    Parameters
    ----------
    regions
        The columns of :data:`REGION_COLUMNS`; may be of several trainings, an image then having several rows.
    replicates
        Of the bootstrap.
    """
    rows = regions[regions["true_positive"] + regions["false_negative"] > 0]
    if rows.empty:
        return RegionFigures(0, {})
    found, false, missed = (rows[name].to_numpy(np.float64) for name in REGION_COLUMNS[3:])
    called = found + false
    each: dict[str, Floats] = {
        "iou": found / (found + false + missed),
        "sensitivity": found / (found + missed),
        "precision": np.divide(found, called, out=np.zeros_like(found), where=called > 0),
    }

    def statistics(weights: Floats) -> dict[str, Floats]:
        means = {name: weights @ values / weights.sum(axis=1) for name, values in each.items()}
        with np.errstate(invalid="ignore"):
            means["pixel_sensitivity"] = (weights @ found) / (weights @ (found + missed))
            means["pixel_precision"] = (weights @ found) / (weights @ called)
        return means

    estimates = bootstrap_all(statistics, rows["group"].astype(str).tolist(), replicates=replicates)
    return RegionFigures(int(rows["image_id"].nunique()), estimates)
