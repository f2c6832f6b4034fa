"""Figures of a training on held-out images: pooled, within sources, and of a source that it never saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap, bootstrap_all
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.paired import compare_scores
from cxrscreen.evaluate.several_classes import CLASS_FIGURES, PREFIX, evaluate_classes
from cxrscreen.evaluate.weighted import weighted_mean

NEW = "covid19"
HALF = 0.5
"""The class of greatest probability is called, as in the paper; of two classes that is this threshold."""
HELD_OUT = ("validation", "test")

Figures = Mapping[str, Estimate]


@dataclass(frozen=True)
class Measured:
    """A training's figures, in [0, 1].

    Parameters
    ----------
    confusion
        Test images, row the truth, column the answer.
    pooled
        Of all test images: ``accuracy``, and for each disease ``auc NAME``, ``sensitivity NAME`` and so on.
    within
        The same by source, of sources with at least `classification.MIN_PER_CLASS` images of two classes, for the
        diseases among these.
    within_of
        The parts whose images these are: the test part, and with it the validation part where no source has enough
        images in the test part alone.
    left_out
        The same of a source of which nothing was learned: all of its images; empty where it was not asked.
    """

    confusion: tuple[tuple[int, ...], ...]
    pooled: Figures
    within: Mapping[str, Figures]
    within_of: str
    left_out: Figures


def measure(
    rows: pd.DataFrame,
    classes: Sequence[str],
    unseen: pd.DataFrame | None = None,
    *,
    replicates: int = REPLICATES,
) -> Measured:
    """Measure a training.

    Parameters
    ----------
    rows
        Its answers about validation and test images.
    classes
        Its classes in order, normal first.
    unseen
        Answers, of a training of the same kind without a source, about that source's images.
    replicates
        Of the bootstrap by patient group.
    """
    test = rows[rows["part"] == "test"]
    within = _within(test, classes, replicates)
    of = "test images"
    if not within:
        within, of = _within(rows[rows["part"].isin(HELD_OUT)], classes, replicates), "validation and test images"
    found = evaluate_classes(test, classes, replicates=replicates)
    left_out = {} if unseen is None else figures_of(unseen, classes, replicates=replicates)
    return Measured(found.confusion, figures_of(test, classes, replicates=replicates), within, of, left_out)


def figures_of(rows: pd.DataFrame, classes: Sequence[str], *, replicates: int = REPLICATES) -> dict[str, Estimate]:
    """Accuracy, and the figures of each disease with enough images among enough others; intervals by patient."""
    found = evaluate_classes(rows, classes, replicates=replicates)
    counts = dict(zip(classes, found.support, strict=True))
    told = [name for name in classes[1:] if MIN_PER_CLASS <= counts[name] <= len(rows) - MIN_PER_CLASS]
    return {"accuracy": found.accuracy} | {
        f"{figure} {name}": found.by_class[name][figure] for name in told for figure in CLASS_FIGURES
    }


def called_alike(rows: pd.DataFrame) -> dict[str, float]:
    """What calling all images the commonest class reaches (``accuracy``), and all COVID-19 (``f1 covid19``)."""
    shares = rows["truth"].value_counts(normalize=True)
    new = float(shares.get(NEW, 0.0))
    return {"accuracy": float(shares.max()), f"f1 {NEW}": 2 * new / (1 + new)}


def at_mix(
    rows: pd.DataFrame, classes: Sequence[str], mix: Mapping[str, float], *, replicates: int = REPLICATES
) -> dict[str, Estimate]:
    """Accuracy and F1 of COVID-19 that the rates within each class would give at another mix of the classes.

    Parameters
    ----------
    rows
        Answers; the class of greatest probability is called.
    classes
        In order.
    mix
        Share of each class, above 0, together 1.
    replicates
        Of the bootstrap by patient group.

    Returns
    -------
    dict
        ``accuracy``, ``f1 covid19``; empty where an image of a class is lacking.
    """
    truth = rows["truth"].to_numpy()
    if set(truth) != set(classes):
        return {}
    called = np.asarray(classes)[rows[[f"{PREFIX}{name}" for name in classes]].to_numpy().argmax(axis=1)]
    right, new = (called == truth).astype(np.float64), (called == NEW).astype(np.float64)

    def figures(weights: Floats) -> dict[str, Floats]:
        accuracy, called_new = (np.zeros(len(weights)) for _ in range(2))
        found = accuracy
        for name in classes:
            own = weights * (truth == name)
            accuracy = accuracy + mix[name] * weighted_mean(right, own)
            share = mix[name] * weighted_mean(new, own)
            called_new = called_new + share
            found = share if name == NEW else found
        return {"accuracy": accuracy, f"f1 {NEW}": 2 * found / (mix[NEW] + called_new)}

    return bootstrap_all(figures, rows["group"].astype(str).tolist(), replicates=replicates)


def left_out_rows(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """All images of a source that a training left out: they are in its test part."""
    return rows[(rows["part"] == "test") & (rows["source"] == source)]


def compare(first: pd.DataFrame, second: pd.DataFrame, *, replicates: int = REPLICATES) -> dict[str, Estimate]:
    """Second training less first on the same test images, each resample of patients drawn for both at once.

    Parameters
    ----------
    first, second
        Answers of trainings that tell COVID-19 from normal.
    replicates
        Of the bootstrap by patient group.

    Returns
    -------
    dict
        ``accuracy``, ``auc``, ``sensitivity``, ``specificity``, the last two and the first at :data:`HALF`.

    Raises
    ------
    ManifestError
        If the two are not of the same images.
    """
    found = dict(compare_scores(_scores(first), _scores(second), (HALF, HALF), replicates=replicates).differences)
    one, other = (rows[rows["part"] == "test"].set_index("image_id").sort_index() for rows in (first, second))
    right = [((rows[PREFIX + NEW] >= HALF) == (rows["truth"] == NEW)).to_numpy(np.float64) for rows in (one, other)]
    groups = one["group"].astype(str)
    found["accuracy"] = bootstrap(
        lambda w: weighted_mean(right[1] - right[0], w), groups.tolist(), replicates=replicates
    )
    return {name: found[name] for name in ("accuracy", "auc", "sensitivity", "specificity")}


def lung_shares(rows: pd.DataFrame, *, replicates: int = REPLICATES) -> dict[str, Estimate]:
    """Mean share of Grad-CAM inside the lungs, the lungs' share of the region, and the difference of the two."""
    known = rows[rows["lung_share"].notna()]
    if known.empty:
        return {}
    columns = {"share": known["lung_share"], "even": known["lung_area"], "above even": _above_even(known)}
    arrays = {name: column.to_numpy(np.float64) for name, column in columns.items()}

    def means(weights: Floats) -> dict[str, Floats]:
        return {name: weighted_mean(values, weights) for name, values in arrays.items()}

    return bootstrap_all(means, known["group"].astype(str).tolist(), replicates=replicates)


def mean_of(values: Floats, groups: Sequence[str], replicates: int = REPLICATES) -> Estimate:
    """A mean with its interval by patient group."""
    return bootstrap(lambda weights: weighted_mean(values, weights), groups, replicates=replicates)


def _within(rows: pd.DataFrame, classes: Sequence[str], replicates: int) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for source, own in rows.groupby("source", sort=True):
        if (own["truth"].value_counts() >= MIN_PER_CLASS).sum() >= 2:
            found[str(source)] = figures_of(own, classes, replicates=replicates)
    return found


def _scores(rows: pd.DataFrame) -> pd.DataFrame:
    test = rows[rows["part"] == "test"]
    return test.assign(truth=(test["truth"] == NEW).astype(int), score=test[PREFIX + NEW])


def _above_even(rows: pd.DataFrame) -> "pd.Series[float]":
    return rows["lung_share"] - rows["lung_area"]
