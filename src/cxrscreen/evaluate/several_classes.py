"""Probabilities of several classes: each class against the rest, averages over classes, and the confusion matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all, grouped_rate
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.weighted import weighted_auc

PREFIX = "p_"
"""The probability of the class ``NAME`` stands in the column ``p_NAME``."""

CLASS_FIGURES = ("auc", "sensitivity", "specificity", "precision", "f1")
"""Figures of a class against the rest, and of the averages over classes."""


@dataclass(frozen=True)
class ClassesResult:
    """Figures of a decision between several classes.

    Parameters
    ----------
    classes
        Their names in order.
    support
        Images of each.
    confusion
        Counts (K, K): row the truth, column the class of greatest probability (of equals the first).
    by_class
        By class the figures of `CLASS_FIGURES` of it against the rest; a rate at the class of greatest probability.
    macro, weighted
        Their plain averages over classes, and those weighted by the images of each class; without a value where a
        class has none (a class that is never called has no precision). The macro sensitivity is the balanced accuracy.
    accuracy
        Share of images whose class has the greatest probability.
    within
        By source and class the AUC of the class against the rest, in sources that hold both.
    """

    classes: tuple[str, ...]
    support: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    by_class: Mapping[str, Mapping[str, Estimate]]
    macro: Mapping[str, Estimate]
    weighted: Mapping[str, Estimate]
    accuracy: Estimate
    within: Mapping[str, Mapping[str, Estimate]]


def evaluate_classes(
    table: pd.DataFrame,
    classes: Sequence[str],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> ClassesResult:
    """Measure a decision between several classes.

    Parameters
    ----------
    table
        One row per image with the columns ``source``, ``group``, ``truth`` (a class) and ``p_NAME`` for each class, as
        `scores.read_scores` checks them.
    classes
        The classes, two or more.
    replicates, seed, level
        Of the bootstrap by patient group and of all intervals.

    Raises
    ------
    ValueError
        If there is no row, a truth is no class, or a probability is not finite.
    """
    names = list(classes)
    truth = pd.Index(names).get_indexer(pd.Index(table["truth"]))
    probabilities = table[[PREFIX + name for name in names]].to_numpy(np.float64)
    if not len(table) or (truth < 0).any() or not np.isfinite(probabilities).all():
        raise ValueError("a truth must be one of the classes, and a probability finite")
    called, groups = probabilities.argmax(axis=1), table["group"].astype(str).to_numpy()
    is_class = truth[:, None] == np.arange(len(names))

    def averages(weights: Floats) -> dict[str, Floats]:
        figures = class_figures(truth, probabilities, weights)
        share = weights @ is_class.astype(np.float64)
        values = {}
        for name in CLASS_FIGURES:
            values[f"macro {name}"] = figures[name].mean(axis=1)
            # A class without images has the weight 0, whatever its figure.
            weighted = np.where(share > 0, figures[name] * share, 0.0).sum(axis=1)
            values[f"weighted {name}"] = weighted / share.sum(axis=1)
        for index, name in enumerate(names):
            values[f"auc {name}"], values[f"f1 {name}"] = figures["auc"][:, index], figures["f1"][:, index]
        return values

    estimates = bootstrap_all(averages, groups.tolist(), replicates=replicates, seed=seed, level=level)
    by_class: dict[str, dict[str, Estimate]] = {}
    for index, name in enumerate(names):
        positive, hit = is_class[:, index], called == index
        among = {"sensitivity": positive, "specificity": ~positive, "precision": hit}
        rates = {
            figure: grouped_rate((positive == hit)[rows], groups[rows], level=level) for figure, rows in among.items()
        }
        by_class[name] = {"auc": estimates[f"auc {name}"], **rates, "f1": estimates[f"f1 {name}"]}
    confusion = confusion_matrix(truth, called, len(names))
    return ClassesResult(
        classes=tuple(names),
        support=tuple(int(count) for count in confusion.sum(axis=1)),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        by_class=by_class,
        macro={name: estimates[f"macro {name}"] for name in CLASS_FIGURES},
        weighted={name: estimates[f"weighted {name}"] for name in CLASS_FIGURES},
        accuracy=grouped_rate(truth == called, groups, level=level),
        within=_within(table, names, is_class, probabilities, replicates=replicates, seed=seed, level=level),
    )


def left_out(result: ClassesResult) -> tuple[str, ...]:
    """Say which averages over classes are missing, and how many resamples the intervals of the others leave out."""
    never = [name for name in result.classes if result.by_class[name]["precision"].value is None]
    said = []
    if never:
        said.append(f"Never called, so that no precision and no mean of it over classes exist: {', '.join(never)}.")
    short: dict[tuple[int, int], list[str]] = {}
    for figure, estimate in result.macro.items():
        if estimate.value is not None and estimate.degenerate:
            short.setdefault((estimate.degenerate, estimate.replicates), []).append(f"macro {figure}")
    said += [
        f"Left out of the interval: {count} of {drawn} resamples in which a class has none ({', '.join(figures)})."
        for (count, drawn), figures in short.items()
    ]
    return tuple(said)


def confusion_matrix(truth: ArrayLike, called: ArrayLike, classes: int) -> NDArray[np.intp]:
    """Counts (K, K) of images, row the index of their class and column that of the class called."""
    pairs = np.asarray(truth, np.intp) * classes + np.asarray(called, np.intp)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_figures(truth: NDArray[np.intp], probabilities: Floats, weights: Floats) -> dict[str, Floats]:
    """Figures of each class against the rest, for many weightings of the images at once.

    Parameters
    ----------
    truth
        (n,) index of each image's class.
    probabilities
        (n, K).
    weights
        (B, n), not negative.

    Returns
    -------
    dict of float64 (B, K)
        `CLASS_FIGURES` by name, NaN where a denominator is empty.
    """
    classes = np.arange(probabilities.shape[1])
    positive, hit = truth[:, None] == classes, probabilities.argmax(axis=1)[:, None] == classes

    def total(chosen: NDArray[np.bool_]) -> Floats:
        counted: Floats = weights @ chosen.astype(np.float64)
        return counted

    found, alarms, missed = total(positive & hit), total(~positive & hit), total(positive & ~hit)
    passed = total(~positive & ~hit)
    with np.errstate(invalid="ignore"):
        return {
            "auc": np.stack(
                [weighted_auc(positive[:, index], probabilities[:, index], weights) for index in classes], axis=1
            ),
            "sensitivity": found / (found + missed),
            "specificity": passed / (passed + alarms),
            "precision": found / (found + alarms),
            "f1": 2 * found / (2 * found + alarms + missed),
        }


def _within(
    table: pd.DataFrame,
    names: Sequence[str],
    is_class: NDArray[np.bool_],
    probabilities: Floats,
    *,
    replicates: int,
    seed: int,
    level: float,
) -> dict[str, dict[str, Estimate]]:
    groups, sources = table["group"].astype(str).to_numpy(), table["source"].astype(str).to_numpy()
    areas: dict[str, dict[str, Estimate]] = {}
    for source in np.unique(sources):
        rows = np.flatnonzero(sources == source)
        both = [index for index in range(len(names)) if 0 < is_class[rows, index].sum() < rows.size]
        if not both:
            continue

        def statistics(weights: Floats, rows: NDArray[np.intp] = rows, both: Sequence[int] = both) -> dict[str, Floats]:
            return {
                names[index]: weighted_auc(is_class[rows, index], probabilities[rows, index], weights) for index in both
            }

        areas[str(source)] = bootstrap_all(
            statistics, groups[rows].tolist(), replicates=replicates, seed=seed, level=level
        )
    return areas
