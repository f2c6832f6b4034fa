"""One marker between classes: means with intervals by patient, and the tests for every pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from cxrscreen.biomarkers.intervals import Intervals, weighted_mean, weighted_std, weighted_superiority
from cxrscreen.biomarkers.statistics import holm, kolmogorov_smirnov, normality, rank_sum, stars

FEWEST: Final = 3
"""Patients a class needs for an interval and for a test."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """A marker by class.

    Parameters
    ----------
    marker
        Its column.
    groups
        A row a class, in order: ``class``, ``images``, ``patients``, ``mean`` and ``std`` over the images with
        ``_low`` and ``_high`` (95 % by patient), ``normality_p`` over patients.
    pairs
        A row a pair of classes with a test: ``first``, ``second``, ``p_images`` (rank sum over images, as in the
        paper), ``stars_images``, ``p_patients`` (over means of patients), ``p_holm`` (that, corrected for all pairs
        here), ``stars_patients`` (of ``p_holm``), ``ks`` and ``ks_p`` (two-sample Kolmogorov-Smirnov, patients),
        ``superiority`` with ``_low`` and ``_high``: the chance that an image of ``first`` exceeds one of ``second``.
    """

    marker: str
    groups: pd.DataFrame
    pairs: pd.DataFrame


GROUP_COLUMNS: Final = (
    "class", "images", "patients", "mean", "mean_low", "mean_high", "std", "std_low", "std_high", "normality_p",
)  # fmt: skip
PAIR_COLUMNS: Final = (
    "first", "second", "p_images", "stars_images", "p_patients", "p_holm", "stars_patients", "ks", "ks_p",
    "superiority", "superiority_low", "superiority_high",
)  # fmt: skip


def compare(
    rows: pd.DataFrame, marker: str, classes: Sequence[str], intervals: Intervals, *, by: str = "label", seed: int = 0
) -> Comparison:
    """Compare a marker between classes.

    Images of one patient resemble each other. The paper tests images; the tests over patients take the mean of each
    patient's images of a class and are the ones to believe.

    Parameters
    ----------
    rows
        A row an image, with the columns ``marker``, ``group`` (the patient) and ``by``. Rows without the marker are
        left out.
    marker
        Column of numbers.
    classes
        Values of ``by`` in order; one without a row is kept, empty.
    intervals
        Makes intervals by patient.
    by
        Column of the class.
    seed
        Of the simulation behind ``normality_p``.

    Returns
    -------
    Comparison
        A class with fewer than three patients is in no test and has no interval.
    """
    known = rows[rows[marker].notna()]
    by_class = {name: known[known[by] == name] for name in classes}
    groups = [_group(name, own, marker, intervals, seed) for name, own in by_class.items()]
    testable = [name for name, own in by_class.items() if own["group"].nunique() >= FEWEST]
    pairs = [
        _pair(first, second, by_class[first], by_class[second], marker, intervals)
        for first, second in combinations(testable, 2)
    ]
    for pair, corrected in zip(pairs, holm([pair["p_patients"] for pair in pairs]), strict=True):
        pair |= {"p_holm": corrected, "stars_patients": stars(corrected)}
    return Comparison(
        marker, pd.DataFrame(groups, columns=list(GROUP_COLUMNS)), pd.DataFrame(pairs, columns=list(PAIR_COLUMNS))
    )


def patient_means(rows: pd.DataFrame, marker: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean of a marker over the images of each patient, float64 (patients,), in the order of the group names."""
    return rows.groupby("group", sort=True)[marker].mean().to_numpy(np.float64)


def _group(name: str, rows: pd.DataFrame, marker: str, intervals: Intervals, seed: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"class": name, "images": len(rows), "patients": rows["group"].nunique()}
    if rows.empty:
        return figures
    values = rows[marker].to_numpy(np.float64)
    made = intervals(
        lambda weights: {"mean": weighted_mean(values, weights), "std": weighted_std(values, weights)},
        rows["group"].tolist(),
    )
    for statistic in ("mean", "std"):
        figures[statistic] = made[statistic].value
        # Of one or two patients the resamples are all but the same, and an interval would pretend to certainty.
        if figures["patients"] >= FEWEST:
            figures |= {f"{statistic}_low": made[statistic].ci_low, f"{statistic}_high": made[statistic].ci_high}
    return figures | {"normality_p": normality(patient_means(rows, marker), seed=seed)}


def _pair(
    first: str, second: str, own: pd.DataFrame, other: pd.DataFrame, marker: str, intervals: Intervals
) -> dict[str, Any]:
    a, b = own[marker].to_numpy(np.float64), other[marker].to_numpy(np.float64)
    images = rank_sum(a, b)
    patients = patient_means(own, marker), patient_means(other, marker)
    distance, ks_p = kolmogorov_smirnov(*patients)
    chance = intervals(
        lambda weights: {"": weighted_superiority(a, b, weights)}, [*own["group"].tolist(), *other["group"].tolist()]
    )[""]
    return {
        "first": first,
        "second": second,
        "p_images": images,
        "stars_images": stars(images),
        "p_patients": rank_sum(*patients),
        "ks": distance,
        "ks_p": ks_p,
        "superiority": chance.value,
        "superiority_low": chance.ci_low,
        "superiority_high": chance.ci_high,
    }
