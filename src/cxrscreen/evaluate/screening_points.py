"""Screening at a fixed specificity: sensitivity at 99 and 90 %, the equal error rate, and the threshold carried over.

One decision by one or several trainings that differ in the seed alone; a figure is the mean over the trainings. Tables
have a row for each image: image_id, source, group, truth (0 or 1) and score (in [0, 1]).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all, grouped_rate
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.metrics import Floats, choose_operating_point
from cxrscreen.evaluate.weighted import area_under, equal_error_rate_of, sensitivity_of, weighted_roc

SPECIFICITIES = ("0.99", "0.90")
"""Those of the COMiT-Net paper's Table 4."""
POINTS: Mapping[str, str] = {
    "sensitivity_0.99": "Sensitivity at 99 % specificity",
    "sensitivity_0.90": "Sensitivity at 90 % specificity",
    "equal_error_rate": "Equal error rate",
    "auc": "AUC",
}
"""The figures in words; all in [0, 1]."""


@dataclass(frozen=True)
class ScreeningPoints:
    """What a decision reaches on one set of images, its thresholds read off these images.

    Parameters
    ----------
    positives, negatives
        Images of each class.
    pooled
        :data:`POINTS` over all images; empty where a class is missing.
    within
        The same as means over ``sources``, so that telling sources apart earns nothing; empty without such sources.
    sources
        Those with at least :data:`~cxrscreen.evaluate.classification.MIN_PER_CLASS` images of either class.
    by_training
        Pooled figures of each training.
    """

    positives: int
    negatives: int
    pooled: Mapping[str, Estimate]
    within: Mapping[str, Estimate]
    sources: tuple[str, ...]
    by_training: Mapping[str, tuple[float, ...]]


def screening_points(trainings: Sequence[pd.DataFrame], *, replicates: int = REPLICATES) -> ScreeningPoints:
    """Measure one decision.

    Parameters
    ----------
    trainings
        A table for each, of the same images.
    replicates
        Of the bootstrap by patient group.

    Raises
    ------
    ValueError
        If the trainings are not of the same images with the same truth.
    """
    cases = _cases(trainings)
    members = _members(cases)
    pooled: Mapping[str, Estimate] = {}
    within: Mapping[str, Estimate] = {}
    by_training: Mapping[str, tuple[float, ...]] = {}
    if 0 < cases.truth.sum() < cases.truth.size:
        each = [_points(cases.truth, scores, np.ones((1, cases.truth.size))) for scores in cases.scores]
        by_training = {name: tuple(float(values[name][0]) for values in each) for name in POINTS}
        pooled = bootstrap_all(lambda w: _mean_points(cases, slice(None), w), cases.groups, replicates=replicates)
    if members:
        within = bootstrap_all(lambda w: _mean_within(cases, members, w), cases.groups, replicates=replicates)
    return ScreeningPoints(
        int(cases.truth.sum()), int((~cases.truth).sum()), pooled, within, tuple(members), by_training
    )


def compare_points(
    first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame], *, replicates: int = REPLICATES
) -> dict[str, Estimate]:
    """Second less first, each resample of patients drawn for both at once.

    Parameters
    ----------
    first, second
        Trainings of two variants on the same images; their numbers may differ.
    replicates
        Of the bootstrap by patient group.

    Returns
    -------
    dict
        Differences of the pooled :data:`POINTS`, and of those within sources as ``within NAME``; empty where a class is
        missing.

    Raises
    ------
    ValueError
        If the images or their truth differ.
    """
    one, other = _cases(first), _cases(second)
    if one.image_ids != other.image_ids or not np.array_equal(one.truth, other.truth):
        raise ValueError("both variants must be of the same images with the same truth")
    if not 0 < one.truth.sum() < one.truth.size:
        return {}
    members = _members(one)

    def differences(weights: Floats) -> dict[str, Floats]:
        left, right = (_mean_points(cases, slice(None), weights) for cases in (one, other))
        found = {name: right[name] - left[name] for name in POINTS}
        if members:
            left, right = (_mean_within(cases, members, weights) for cases in (one, other))
            found |= {f"within {name}": right[name] - left[name] for name in POINTS}
        return found

    return bootstrap_all(differences, one.groups, replicates=replicates)


@dataclass(frozen=True)
class Carried:
    """Rates at a threshold that other images gave: what a specificity that was asked for becomes elsewhere.

    Parameters
    ----------
    specificity
        As asked for on the images of the choice, ``"0.99"`` or ``"0.90"``.
    sensitivity, reached
        Sensitivity and specificity, means over the trainings; without a value where the class is missing.
    """

    specificity: str
    sensitivity: Estimate
    reached: Estimate


def carried_over(chosen_on: Sequence[pd.DataFrame], measured: Sequence[pd.DataFrame]) -> tuple[Carried, ...]:
    """Choose each training's threshold on some images, and measure it on others.

    Parameters
    ----------
    chosen_on
        Validation images of each training, both classes among them.
    measured
        Images of each training, of any class, in the order of the trainings.

    Raises
    ------
    ValueError
        If the trainings do not correspond, or ``chosen_on`` lacks a class.
    """
    cases = _cases(measured)
    found = []
    for specificity in SPECIFICITIES:
        called = []
        for table, scores in zip(chosen_on, cases.scores, strict=True):
            point = choose_operating_point(table["truth"], table["score"], f"specificity>={specificity}")
            called.append(scores >= point.threshold)
        right = np.mean([each == cases.truth for each in called], axis=0)
        rates = [grouped_rate(right[rows], np.asarray(cases.groups)[rows]) for rows in (cases.truth, ~cases.truth)]
        found.append(Carried(specificity, rates[0], rates[1]))
    return tuple(found)


@dataclass(frozen=True)
class _Cases:
    image_ids: list[str]
    sources: NDArray[np.str_]
    groups: list[str]
    truth: NDArray[np.bool_]
    scores: tuple[Floats, ...]


def _cases(trainings: Sequence[pd.DataFrame]) -> _Cases:
    tables = [table.set_index("image_id").sort_index() for table in trainings]
    first = tables[0]
    if any(not table.index.equals(first.index) or not table["truth"].equals(first["truth"]) for table in tables):
        raise ValueError("trainings must be of the same images with the same truth")
    return _Cases(
        [str(image_id) for image_id in first.index],
        first["source"].to_numpy(dtype=np.str_),
        first["group"].astype(str).tolist(),
        first["truth"].to_numpy(dtype=bool),
        tuple(table["score"].to_numpy(np.float64) for table in tables),
    )


def _members(cases: _Cases) -> dict[str, NDArray[np.intp]]:
    found = {}
    for source in np.unique(cases.sources):
        rows = np.flatnonzero(cases.sources == source)
        positives = int(cases.truth[rows].sum())
        if min(positives, rows.size - positives) >= MIN_PER_CLASS:
            found[str(source)] = rows
    return found


def _points(truth: NDArray[np.bool_], scores: Floats, weights: Floats) -> dict[str, Floats]:
    curves = weighted_roc(truth, scores, weights)
    return {
        **{f"sensitivity_{rate}": sensitivity_of(curves, float(rate)) for rate in SPECIFICITIES},
        "equal_error_rate": equal_error_rate_of(curves),
        "auc": area_under(curves),
    }


def _mean_points(cases: _Cases, rows: NDArray[np.intp] | slice, weights: Floats) -> dict[str, Floats]:
    each = [_points(cases.truth[rows], scores[rows], weights[:, rows]) for scores in cases.scores]
    return {name: np.mean([values[name] for values in each], axis=0) for name in POINTS}


def _mean_within(cases: _Cases, members: Mapping[str, NDArray[np.intp]], weights: Floats) -> dict[str, Floats]:
    each = [_mean_points(cases, rows, weights) for rows in members.values()]
    return {name: np.mean([values[name] for values in each], axis=0) for name in POINTS}
