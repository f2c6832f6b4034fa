"""Decision curves: what acting on a probability is worth, against treating everybody and treating nobody."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrscreen.evaluate.bootstrap import REPLICATES, bootstrap_all
from cxrscreen.evaluate.metrics import Floats, checked_scores

THRESHOLDS = tuple(percent / 100 for percent in range(1, 100))
"""Threshold probabilities of a curve."""


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over the threshold probability, all tuples of one length.

    Parameters
    ----------
    prevalence
        Share of positives at which it holds, in (0, 1).
    of_these_images
        Whether that is the share in the images themselves, not one that was asked for.
    thresholds
        Threshold probabilities in (0, 1): the risk from which one would act.
    net_benefit
        True positives per case, less the false positives weighed by the odds of the threshold. At most the prevalence;
        below 0 where acting on the score does harm.
    low, high
        Ends of its interval by patient group; None where it is not defined.
    treat_all
        Net benefit of acting on everybody. Acting on nobody gives 0 everywhere.
    replicates
        Bootstrap resamples behind the band.
    """

    prevalence: float
    of_these_images: bool
    thresholds: tuple[float, ...]
    net_benefit: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    treat_all: tuple[float, ...]
    replicates: int


def decision_curve(
    truth: ArrayLike,
    probabilities: ArrayLike,
    groups: Sequence[str],
    *,
    prevalence: float | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> DecisionCurve:
    """Measure the net benefit of acting where the probability reaches the threshold.

    Parameters
    ----------
    truth, probabilities
        (n,) of 0 and 1, both present, and (n,) in [0, 1].
    groups
        (n,) patient group of each image.
    prevalence
        Share of positives to reckon with, in (0, 1): the sensitivity and specificity are those of the images.
        None: the share in the images.
    thresholds
        In (0, 1).
    replicates, seed, level
        Of the bootstrap by patient group.

    Raises
    ------
    ValueError
        If a threshold or the prevalence is not in (0, 1), or as for `metrics.auc`.

    References
    ----------
    A. J. Vickers, E. B. Elkin, Med. Decis. Making 26:565-574, 2006.
    """
    positive, values = checked_scores(truth, probabilities)
    points = np.asarray(thresholds, dtype=np.float64)
    named = {f"{index}": index for index in range(points.size)}

    def statistics(weights: Floats) -> dict[str, Floats]:
        benefit = net_benefit(positive, values, points, weights, prevalence)
        return {name: benefit[:, index] for name, index in named.items()}

    estimates = bootstrap_all(statistics, groups, replicates=replicates, seed=seed, level=level)
    share = float(positive.mean()) if prevalence is None else prevalence
    return DecisionCurve(
        prevalence=share,
        of_these_images=prevalence is None,
        thresholds=tuple(float(point) for point in points),
        net_benefit=tuple(float(v) for v in net_benefit(positive, values, points, prevalence=prevalence)[0]),
        low=tuple(estimates[name].ci_low for name in named),
        high=tuple(estimates[name].ci_high for name in named),
        treat_all=tuple(float(v) for v in share - (1 - share) * points / (1 - points)),
        replicates=replicates,
    )


def net_benefit(
    truth: NDArray[np.bool_],
    probabilities: Floats,
    thresholds: Floats,
    weights: Floats | None = None,
    prevalence: float | None = None,
) -> Floats:
    """Net benefit TP / n - FP / n x p / (1 - p) at each threshold p, for many weightings of the cases at once.

    Parameters
    ----------
    truth, probabilities
        (n,) bool and (n,) float64 in [0, 1].
    thresholds
        (K,) in (0, 1); a case is acted on where its probability is at least the threshold.
    weights
        (B, n), not negative; None: one row of ones.
    prevalence
        As for `decision_curve`.

    Returns
    -------
    float64 (B, K)
        NaN where no case has weight, or, with a prevalence, where a class has none.

    Raises
    ------
    ValueError
        If a threshold or the prevalence is not in (0, 1).
    """
    if not ((thresholds > 0) & (thresholds < 1)).all() or not (prevalence is None or 0 < prevalence < 1):
        raise ValueError("threshold probabilities and the prevalence must lie in (0, 1)")
    rows = np.ones((1, truth.size)) if weights is None else weights
    called = (probabilities[:, None] >= thresholds).astype(np.float64)
    true_positive, false_positive = rows[:, truth] @ called[truth], rows[:, ~truth] @ called[~truth]
    of_positives, of_negatives = (rows[:, chosen].sum(axis=1, keepdims=True) for chosen in (truth, ~truth))
    with np.errstate(invalid="ignore", divide="ignore"):
        if prevalence is None:
            total = of_positives + of_negatives
            benefit, harm = true_positive / total, false_positive / total
        else:
            benefit = prevalence * true_positive / of_positives
            harm = (1 - prevalence) * false_positive / of_negatives
    result: Floats = benefit - harm * thresholds / (1 - thresholds)
    return result
