"""Scores of one decision, pooled and within each source, with intervals by patient group."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.manifest import LABELS
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap, bootstrap_all, grouped_rate
from cxrscreen.evaluate.calibration import logits_of
from cxrscreen.evaluate.delong import delong_interval
from cxrscreen.evaluate.metrics import ConfusionCounts, Floats, confusion_counts
from cxrscreen.evaluate.weighted import (
    area_under,
    equal_error_rate_of,
    sensitivity_of,
    specificity_of,
    weighted_auc,
    weighted_calibration_error,
    weighted_calibration_intercept,
    weighted_calibration_slope,
    weighted_f1,
    weighted_mean,
    weighted_roc,
)

SCORE_COLUMNS = ("image_id", "source", "group", "label", "truth", "score")
"""Columns of a table of scores: one row per image, truth 0 / 1, score a probability; ``label`` may be missing."""

FIXED_RATES = ("0.90", "0.95", "0.99")
"""Specificities at which the sensitivity is given, and the reverse."""

MIN_PER_CLASS = 5
"""Positives and negatives a source needs before its AUC enters the mean of the within-source AUCs."""


@dataclass(frozen=True)
class Figures:
    """What was measured on one set of images that holds both classes.

    Parameters
    ----------
    positives, negatives
        Images of each class.
    estimates
        Figure by name: ``auc``, ``auc_delong``, ``sensitivity_at_specificity_0.90`` (also ``_0.95`` and ``_0.99``),
        ``specificity_at_sensitivity_0.90`` (and these), ``equal_error_rate``, ``brier``, ``ece``,
        ``calibration_slope``, ``calibration_intercept`` (in the large); with a threshold also ``sensitivity``,
        ``specificity``, ``precision``, ``npv``, ``accuracy`` and ``f1``.
    counts
        The four outcomes at the threshold, None without one.
    """

    positives: int
    negatives: int
    estimates: Mapping[str, Estimate]
    counts: ConfusionCounts | None


@dataclass(frozen=True)
class OneClassSource:
    """A source that supplies one class only: it can show no AUC, only how often it is called positive.

    Parameters
    ----------
    truth
        The class of all its images, 0 or 1.
    n
        Images.
    mean_score
        In [0, 1].
    positive_rate
        Share of images called positive at the threshold, None without one.
    """

    truth: int
    n: int
    mean_score: float
    positive_rate: Estimate | None


@dataclass(frozen=True)
class ClassificationResult:
    """Pooled and within-source figures of one decision; neither is given without the other.

    Parameters
    ----------
    threshold
        A score at or above it is positive; None where none was given.
    pooled
        All images together. It also measures how well sources are told apart wherever a source supplies one class.
    within
        Figures by source, for the sources with both classes.
    one_class
        The other sources.
    mean_within_source_auc
        Plain mean of the AUCs of ``mean_sources``; None where there are none.
    mean_sources
        Sources with at least ``min_per_class`` images of each class.
    min_per_class
        See `MIN_PER_CLASS`.
    """

    threshold: float | None
    pooled: Figures
    within: Mapping[str, Figures]
    one_class: Mapping[str, OneClassSource]
    mean_within_source_auc: Estimate | None
    mean_sources: tuple[str, ...]
    min_per_class: int


def evaluate_scores(
    scores: pd.DataFrame,
    threshold: float | None = None,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
    min_per_class: int = MIN_PER_CLASS,
) -> ClassificationResult:
    """Measure one decision.

    Parameters
    ----------
    scores
        The columns of `SCORE_COLUMNS`, one row per image.
    threshold
        Operating point in [0, 1], chosen on other images; None leaves the figures that need one out.
    replicates, seed, level
        Of the bootstrap and of all intervals.
    min_per_class
        See `MIN_PER_CLASS`.

    Raises
    ------
    ManifestError
        If a column is missing, there is no row, an image comes twice, a source or group is empty, a score is missing or
        outside [0, 1], a truth is not 0 or 1, a label is not one of the manifest's or is ``unknown``, or there is only
        one class.
    """
    check_scores(scores)
    measure = partial(_figures, threshold=threshold, replicates=replicates, seed=seed, level=level)
    within: dict[str, Figures] = {}
    one_class: dict[str, OneClassSource] = {}
    for source, rows in scores.groupby("source", sort=True):
        if rows["truth"].nunique() == 2:
            within[str(source)] = measure(rows)
        else:
            one_class[str(source)] = _one_class(rows, threshold, level)
    averaged = tuple(
        name for name, figures in within.items() if min(figures.positives, figures.negatives) >= min_per_class
    )
    return ClassificationResult(
        threshold=threshold,
        pooled=measure(scores),
        within=within,
        one_class=one_class,
        mean_within_source_auc=_mean_auc(scores, averaged, replicates, seed, level) if averaged else None,
        mean_sources=averaged,
        min_per_class=min_per_class,
    )


def check_scores(scores: pd.DataFrame) -> None:
    """Raise a `ManifestError` of one sentence where a table of scores cannot be measured; see `evaluate_scores`."""
    needed = [column for column in SCORE_COLUMNS if column != "label"]
    missing = [column for column in needed if column not in scores.columns]
    if missing:
        raise ManifestError(f"The scores lack the column(s) {', '.join(missing)}: give {', '.join(needed)}.")
    if scores.empty:
        raise ManifestError("The scores have no row: screen at least one positive and one negative image.")
    values = pd.to_numeric(scores["score"], errors="coerce")
    labelled = ", ".join(label for label in LABELS if label != "unknown")
    faults: tuple[tuple[pd.Series, str, str], ...] = (
        (scores["image_id"].duplicated(), "an image a second time", "give one row per image"),
        (_blank(scores["source"]) | _blank(scores["group"]), "no source or no group", "name both for every image"),
        (values.isna(), "no score", "leave out images that could not be screened and count them as failed"),
        ((values < 0) | (values > 1), "a score outside [0, 1]", "give probabilities"),
        (~scores["truth"].isin((0, 1)), "a truth other than 0 and 1", "use 1 for positive"),
        (_unlabelled(scores), "an unknown label", f"use one of {labelled}"),
    )
    for wrong, what, advice in faults:
        if wrong.any():
            first = scores.loc[wrong, "image_id"].iloc[0]
            raise ManifestError(f"{int(wrong.sum())} row(s) of the scores hold {what}, the first is {first}: {advice}.")
    if scores["truth"].nunique() == 1:
        kind = "positive" if int(scores["truth"].iloc[0]) else "negative"
        raise ManifestError(f"All {len(scores)} scored images are {kind}: add images of the other class.")


def _figures(rows: pd.DataFrame, *, threshold: float | None, replicates: int, seed: int, level: float) -> Figures:
    truth, scores, groups = _arrays(rows)

    logits = logits_of(scores)

    def statistics(weights: Floats) -> dict[str, Floats]:
        curves = weighted_roc(truth, scores, weights)
        values = {
            "auc": area_under(curves),
            **{f"sensitivity_at_specificity_{rate}": sensitivity_of(curves, float(rate)) for rate in FIXED_RATES},
            **{f"specificity_at_sensitivity_{rate}": specificity_of(curves, float(rate)) for rate in FIXED_RATES},
            "equal_error_rate": equal_error_rate_of(curves),
            "brier": weighted_mean((scores - truth) ** 2, weights),
            "ece": weighted_calibration_error(truth, scores, weights),
            "calibration_slope": weighted_calibration_slope(truth, logits, weights),
            "calibration_intercept": weighted_calibration_intercept(truth, logits, weights),
        }
        return values if threshold is None else values | {"f1": weighted_f1(truth, scores >= threshold, weights)}

    estimates = bootstrap_all(statistics, groups, replicates=replicates, seed=seed, level=level)
    if min(truth.sum(), (~truth).sum()) >= 2:
        area, low, high = delong_interval(truth, scores, level)
        estimates["auc_delong"] = Estimate(
            area, low, high, truth.size, len(set(groups)), "DeLong, images taken as independent"
        )
    counts = None
    if threshold is not None:
        counts = confusion_counts(truth, scores, threshold)
        estimates |= _rates(truth, scores >= threshold, np.asarray(groups), level)
    return Figures(int(truth.sum()), int((~truth).sum()), estimates, counts)


def _rates(
    truth: NDArray[np.bool_], called: NDArray[np.bool_], groups: NDArray[np.str_], level: float
) -> dict[str, Estimate]:
    right = truth == called
    among = {
        "sensitivity": truth,
        "specificity": ~truth,
        "precision": called,
        "npv": ~called,
        "accuracy": np.ones_like(truth),
    }
    return {name: grouped_rate(right[rows], groups[rows], level=level) for name, rows in among.items()}


def _one_class(rows: pd.DataFrame, threshold: float | None, level: float) -> OneClassSource:
    truth, scores, groups = _arrays(rows)
    rate = None if threshold is None else grouped_rate(scores >= threshold, groups, level=level)
    return OneClassSource(int(truth[0]), truth.size, float(scores.mean()), rate)


def _mean_auc(scores: pd.DataFrame, sources: tuple[str, ...], replicates: int, seed: int, level: float) -> Estimate:
    rows = scores[scores["source"].isin(sources)]
    truth, values, groups = _arrays(rows)
    members = [np.flatnonzero(rows["source"].to_numpy() == source) for source in sources]

    def mean_auc(weights: Floats) -> Floats:
        mean: Floats = np.mean([weighted_auc(truth[m], values[m], weights[:, m]) for m in members], axis=0)
        return mean

    return bootstrap(mean_auc, groups, replicates=replicates, seed=seed, level=level)


def _arrays(rows: pd.DataFrame) -> tuple[NDArray[np.bool_], Floats, list[str]]:
    return (
        rows["truth"].to_numpy().astype(bool),
        pd.to_numeric(rows["score"]).to_numpy(dtype=np.float64),
        rows["group"].astype(str).tolist(),
    )


def _unlabelled(scores: pd.DataFrame) -> "pd.Series[bool]":
    if "label" not in scores.columns:
        return pd.Series(False, index=scores.index)
    return ~scores["label"].isin(LABELS) | (scores["label"] == "unknown")


def _blank(column: "pd.Series[str]") -> "pd.Series[bool]":
    blank: pd.Series[bool] = column.isna() | (column.astype(str).str.strip() == "")
    return blank
