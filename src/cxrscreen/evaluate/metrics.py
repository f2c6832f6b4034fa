"""Figures of a binary classifier on one set of scores, and the choice of its operating point.

``truth`` is always 0 / 1 (1 = positive), ``scores`` a probability or any number that grows with it, and a case is
called positive where its score is at least the threshold. A ratio with an empty denominator is NaN, never 0 or 1.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_curve

Floats = NDArray[np.float64]


def auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic.

    Parameters
    ----------
    truth
        (n,) of 0 and 1.
    scores
        (n,) of finite numbers.

    Returns
    -------
    float
        Share of positive-negative pairs in which the positive scores higher, a tie counting one half; in [0, 1].

    Raises
    ------
    ValueError
        If the lengths differ, a value is not finite, the truth is not 0 / 1 or a class is missing.
    """
    positive, values = checked_scores(truth, scores)
    ranks = rankdata(values)
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    wins = float(ranks[positive].sum()) - n_positive * (n_positive + 1) / 2
    return wins / (n_positive * n_negative)


def checked_scores(
    truth: ArrayLike, scores: ArrayLike, *, both_classes: bool = True
) -> tuple[NDArray[np.bool_], Floats]:
    """Give the truth as bool (n,) and the scores as float64 (n,), or a ``ValueError`` that says what is wrong."""
    labels, values = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != values.shape or labels.size == 0:
        raise ValueError(f"truth and scores must be (n,) of one length, got {labels.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("truth must hold 0 and 1 only")
    positive = labels.astype(bool)
    if both_classes and (positive.all() or not positive.any()):
        raise ValueError("truth must hold both classes")
    return positive, values


@dataclass(frozen=True)
class ConfusionCounts:
    """The four outcomes at one threshold, and the rates that follow; NaN for an empty denominator."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def n(self) -> int:
        """Cases in all."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN), in [0, 1]."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP), in [0, 1]."""
        return _ratio(self.true_negative, self.true_negative + self.false_positive)

    @property
    def precision(self) -> float:
        """TP / (TP + FP), the positive predictive value at the prevalence of these cases, in [0, 1]."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def npv(self) -> float:
        """TN / (TN + FN), the negative predictive value at the prevalence of these cases, in [0, 1]."""
        return _ratio(self.true_negative, self.true_negative + self.false_negative)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), in [0, 1]."""
        return _ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / n, in [0, 1]."""
        return _ratio(self.true_positive + self.true_negative, self.n)


def confusion_counts(truth: ArrayLike, scores: ArrayLike, threshold: float) -> ConfusionCounts:
    """Count the four outcomes at ``score >= threshold``.

    Parameters
    ----------
    truth, scores
        As for `auc`, though one class may be missing.
    threshold
        In the units of the scores.
    """
    positive, values = checked_scores(truth, scores, both_classes=False)
    called = values >= threshold
    return ConfusionCounts(
        true_positive=int((called & positive).sum()),
        false_positive=int((called & ~positive).sum()),
        false_negative=int((~called & positive).sum()),
        true_negative=int((~called & ~positive).sum()),
    )


def wilson_interval(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion.

    Parameters
    ----------
    successes, n
        Events and trials; an effective sample size need not be whole.
    level
        Confidence level in (0, 1).

    Returns
    -------
    tuple of float
        Low and high end, both in [0, 1].

    Raises
    ------
    ValueError
        If ``n`` is not positive or ``successes`` not in [0, n].

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22:209-212, 1927.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"successes must lie in [0, n] with n > 0, got {successes} of {n}")
    z = float(norm.ppf(0.5 + level / 2))
    rate = successes / n
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def sensitivity_at_specificity(truth: ArrayLike, scores: ArrayLike, specificity: float) -> float:
    """Largest sensitivity that a threshold on these scores reaches with at least this specificity; in [0, 1]."""
    fpr, tpr, _ = _roc(truth, scores)
    return float(tpr[_reaches(1 - fpr, specificity)].max())


def specificity_at_sensitivity(truth: ArrayLike, scores: ArrayLike, sensitivity: float) -> float:
    """Largest specificity that a threshold on these scores reaches with at least this sensitivity; in [0, 1]."""
    fpr, tpr, _ = _roc(truth, scores)
    return float((1 - fpr)[_reaches(tpr, sensitivity)].max())


def equal_error_rate(truth: ArrayLike, scores: ArrayLike) -> float:
    """Error at the point of the ROC curve, joined by straight lines, where both error rates are equal; in [0, 1]."""
    fpr, tpr, _ = _roc(truth, scores)
    excess = fpr - (1 - tpr)
    after = int(np.argmax(excess >= 0))
    step = excess[after] - excess[after - 1]
    return float(fpr[after - 1] + (fpr[after] - fpr[after - 1]) * (-excess[after - 1] / step))


def brier_score(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared difference between probability and truth, in [0, 1]; 0 is perfect, always saying 0.5 gives 0.25."""
    positive, values = _probabilities(truth, probabilities)
    return float(np.mean((values - positive) ** 2))


def expected_calibration_error(truth: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> float:
    """Mean distance between the probability and the positive rate, over bins of equal width.

    Parameters
    ----------
    truth, probabilities
        (n,) of 0 / 1 and (n,) in [0, 1]; one class may be missing.
    bins
        Number of bins on [0, 1]; 1.0 belongs to the last.

    Returns
    -------
    float
        Sum over bins of (share of cases) x |mean probability - positive rate|, in [0, 1].

    References
    ----------
    M. Pakdaman Naeini et al., AAAI 2015.
    """
    positive, values = _probabilities(truth, probabilities)
    gap = np.bincount(calibration_bin(values, bins), weights=values - positive, minlength=bins)
    return float(np.abs(gap).sum() / values.size)


def calibration_bin(probabilities: Floats, bins: int = 10) -> NDArray[np.intp]:
    """Index (n,) of the equal-width bin on [0, 1] of each probability, 1.0 in the last."""
    return np.minimum((probabilities * bins).astype(np.intp), bins - 1)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with the rule that chose it, and what it reached on the cases on which it was chosen.

    Parameters
    ----------
    name
        Short name for a card, for example ``"youden"`` or ``"sensitivity-0.95"``.
    threshold
        In [0, 1]; a score at or above it is positive.
    rule
        The rule as given.
    sensitivity, specificity
        In [0, 1], on the cases on which it was chosen (weighted as they were), so not what other cases will show.
    reached
        Whether the rule's target was kept. A specificity cannot be kept where more negative cases than it allows
        score 1, for no threshold lies above them.
    """

    name: str
    threshold: float
    rule: str
    sensitivity: float
    specificity: float
    reached: bool


_TARGET = re.compile(r"(sensitivity|specificity)>=(0?\.\d+|0|1(?:\.0*)?)")


def checked_rule(rule: str) -> tuple[str, float | None]:
    """Read a rule for an operating point.

    Parameters
    ----------
    rule
        ``"youden"``, ``"sensitivity>=X"`` or ``"specificity>=X"`` with X in [0, 1].

    Returns
    -------
    tuple
        ``"youden"`` and None, or the rate and its target.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    target = _TARGET.fullmatch(rule.replace(" ", ""))
    if rule == "youden":
        return rule, None
    if target is None:
        raise ValueError(f'rule must be "youden", "sensitivity>=X" or "specificity>=X", got "{rule}"')
    return target[1], float(target[2])


def choose_operating_point(
    truth: ArrayLike, scores: ArrayLike, rule: str = "youden", weights: ArrayLike | None = None
) -> OperatingPoint:
    """Choose a threshold on validation scores.

    Parameters
    ----------
    truth, scores
        As for `auc`; probabilities in [0, 1].
    rule
        ``"youden"``: largest sensitivity + specificity - 1, of equals the one with the higher sensitivity.
        ``"sensitivity>=0.95"``: the largest specificity with at least this sensitivity.
        ``"specificity>=0.90"``: the largest sensitivity with at least this specificity; where none keeps it, the
        threshold with the largest specificity, told by ``reached``.
    weights
        Weight of each case in sensitivity and specificity, above 0; None: all the same.

    Returns
    -------
    OperatingPoint
        Its threshold lies half-way between the lowest score called positive and the next one below, so that rounding
        in another engine does not move a case over it.

    Raises
    ------
    ValueError
        If the rule is unknown, the scores are no probabilities, or a class is missing.
    """
    rate, wanted = checked_rule(rule)
    _probabilities(truth, scores)
    fpr, tpr, thresholds = _roc(truth, scores, weights)
    if thresholds[1] >= 1.0:
        # A case that scores 1 is called by every threshold in [0, 1]: calling nobody is no choice.
        fpr, tpr, thresholds = fpr[1:], tpr[1:], thresholds[1:]
    specificity = 1 - fpr
    if wanted is None:
        name, merit, reached = rule, tpr - fpr, True
    else:
        name = f"{rate}-{rule.partition('>=')[2].strip()}"
        value, other = (tpr, specificity) if rate == "sensitivity" else (specificity, tpr)
        kept = _reaches(value, wanted)
        reached = bool(kept.any())
        merit = np.where(kept, other, -np.inf) if reached else value
    best = np.flatnonzero(np.isclose(merit, merit.max(), rtol=0, atol=1e-12))
    # Of equally good thresholds the lowest finds more patients; under a wanted specificity the highest alarms less.
    chosen = int(best[0] if rate == "specificity" else best[-1])
    upper = 1.0 if np.isinf(thresholds[chosen]) else float(thresholds[chosen])
    lower = float(thresholds[chosen + 1]) if chosen + 1 < thresholds.size else 0.0
    middle = (upper + lower) / 2
    return OperatingPoint(
        name=name,
        threshold=middle if middle > lower else upper,
        rule=rule,
        sensitivity=float(tpr[chosen]),
        specificity=float(specificity[chosen]),
        reached=reached,
    )


def _roc(truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> tuple[Floats, Floats, Floats]:
    positive, values = checked_scores(truth, scores)
    fpr, tpr, thresholds = roc_curve(positive, values, sample_weight=weights, drop_intermediate=False)
    return fpr, tpr, thresholds


def _reaches(rate: Floats, target: float) -> NDArray[np.bool_]:
    reached: NDArray[np.bool_] = rate >= target - 1e-12
    return reached


def _probabilities(truth: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    positive, values = checked_scores(truth, probabilities, both_classes=False)
    if values.min() < 0 or values.max() > 1:
        raise ValueError("probabilities must lie in [0, 1]")
    return positive, values


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
