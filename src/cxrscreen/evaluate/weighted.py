"""The figures of `metrics` for many weightings of the cases at once: what a bootstrap needs.

``weights`` is (B, n): how often each of the n cases counts in each of B resamples. Every function returns (B,); a
resample that lacks a class gives NaN.
"""

import numpy as np
from numpy.typing import NDArray

from cxrscreen.evaluate.metrics import Floats, calibration_bin

Curves = tuple[Floats, Floats]
"""False-positive and true-positive rate, (B, K + 1) each: one ROC curve per resample."""


def weighted_roc(truth: NDArray[np.bool_], scores: Floats, weights: Floats) -> Curves:
    """ROC curves, one point per distinct score from (0, 0) to (1, 1).

    Parameters
    ----------
    truth, scores
        (n,) bool and (n,) float64.
    weights
        (B, n), not negative.

    Returns
    -------
    tuple of float64 (B, K + 1)
        False-positive and true-positive rate, K the number of distinct scores; NaN where a class has no weight.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    ordered, positive = weights[:, order], truth[order]
    with np.errstate(invalid="ignore"):
        fpr, tpr = (_cumulative_share(ordered * chosen, starts) for chosen in (~positive, positive))
    return fpr, tpr


def weighted_auc(truth: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Area under each ROC curve; equals the Mann-Whitney statistic with ties as one half."""
    return area_under(weighted_roc(truth, scores, weights))


def area_under(curves: Curves) -> Floats:
    """Area under each of the curves of `weighted_roc`."""
    fpr, tpr = curves
    area: Floats = np.sum(np.diff(fpr, axis=1) * (tpr[:, 1:] + tpr[:, :-1]) / 2, axis=1)
    return _where_defined(area, curves)


def sensitivity_of(curves: Curves, specificity: float) -> Floats:
    """Largest sensitivity with at least this specificity, on each of the curves of `weighted_roc`."""
    fpr, tpr = curves
    return _where_defined(np.where(1 - fpr >= specificity - 1e-12, tpr, 0.0).max(axis=1), curves)


def specificity_of(curves: Curves, sensitivity: float) -> Floats:
    """Largest specificity with at least this sensitivity, on each of the curves of `weighted_roc`."""
    fpr, tpr = curves
    return _where_defined(np.where(tpr >= sensitivity - 1e-12, 1 - fpr, 0.0).max(axis=1), curves)


def equal_error_rate_of(curves: Curves) -> Floats:
    """Error where both error rates are equal, on each of the curves of `weighted_roc` joined by straight lines."""
    fpr, tpr = curves
    excess = fpr - (1 - tpr)
    row, after = np.arange(len(fpr)), np.maximum(np.argmax(excess >= 0, axis=1), 1)
    before = after - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        share = -excess[row, before] / (excess[row, after] - excess[row, before])
    return _where_defined(fpr[row, before] + (fpr[row, after] - fpr[row, before]) * share, curves)


def weighted_f1(truth: NDArray[np.bool_], called: NDArray[np.bool_], weights: Floats) -> Floats:
    """F1 score 2 TP / (2 TP + FP + FN) in each resample; ``called`` (n,) is True where the threshold calls a case."""
    true_positive = weights @ (truth & called).astype(np.float64)
    wrong = weights @ (truth != called).astype(np.float64)
    with np.errstate(invalid="ignore"):
        score: Floats = 2 * true_positive / (2 * true_positive + wrong)
    return score


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Mean of ``values`` (n,) in each resample; with squared errors the Brier score."""
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean: Floats = (weights @ values) / total
    return mean


def weighted_calibration_error(
    truth: NDArray[np.bool_], probabilities: Floats, weights: Floats, bins: int = 10
) -> Floats:
    """Calibration error, expected over equal-width bins in each resample."""
    member = np.eye(bins)[calibration_bin(probabilities, bins)]
    gap = weights @ (member * (probabilities - truth)[:, None])
    error: Floats = np.abs(gap).sum(axis=1) / weights.sum(axis=1)
    return error


def _cumulative_share(weights: Floats, starts: NDArray[np.intp]) -> Floats:
    cumulative = np.cumsum(np.add.reduceat(weights, starts, axis=1), axis=1)
    share: Floats = np.pad(cumulative, ((0, 0), (1, 0))) / cumulative[:, -1:]
    return share


def _where_defined(values: Floats, curves: Curves) -> Floats:
    fpr, tpr = curves
    return np.where(np.isfinite(fpr[:, -1]) & np.isfinite(tpr[:, -1]), values, np.nan)
