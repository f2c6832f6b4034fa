"""The figures of `metrics` for many weightings of the cases at once: what a bootstrap needs.

``weights`` is (B, n): how often each of the n cases counts in each of B resamples. Every function returns (B,); a
resample that lacks a class gives NaN.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

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


def weighted_calibration_intercept(truth: NDArray[np.bool_], logits: Floats, weights: Floats) -> Floats:
    """Calibration in the large of each resample: the number a for which sigmoid(a + logit) has the mean of the truth.

    Parameters
    ----------
    truth, logits
        (n,) bool and (n,) finite float64.
    weights
        (B, n), not negative.

    Returns
    -------
    float64 (B,)
        0 where the probabilities are right on average, negative where they are too high; NaN where a class has no
        weight.
    """
    low, high = np.full(len(weights), -40.0), np.full(len(weights), 40.0)
    found = np.zeros(len(weights))
    if len(weights) > 1:
        found += np.nan_to_num(weighted_calibration_intercept(truth, logits, weights.mean(axis=0, keepdims=True)))
    positives = weights @ truth.astype(np.float64)
    for _ in range(_STEPS):
        fitted = expit(found[:, None] + logits)
        share = weights * fitted
        gradient = positives - share.sum(axis=1)
        low, high = np.where(gradient > 0, found, low), np.where(gradient > 0, high, found)
        with np.errstate(invalid="ignore", divide="ignore"):
            newton = found + gradient / (share.sum(axis=1) - np.vecdot(share, fitted))
        # Newton's step where it stays between the known ends, else their middle.
        step = np.where((newton > low) & (newton < high), newton, (low + high) / 2) - found
        step[gradient == 0] = 0.0
        found = found + step
        if np.abs(step).max() < _CONVERGED:
            break
    return np.where(_both_classes(truth, weights), found, np.nan)


def weighted_calibration_slope(truth: NDArray[np.bool_], logits: Floats, weights: Floats) -> Floats:
    """Slope of the logistic regression of the truth on the logits, with a free intercept, in each resample.

    Parameters
    ----------
    truth, logits, weights
        As for `weighted_calibration_intercept`.

    Returns
    -------
    float64 (B,)
        1 where probabilities are as extreme as they should be, below 1 where they are too extreme; NaN where a class
        has no weight, where the logits are all the same, or where they separate the classes (no finite slope).
    """
    spread = float(logits.std())
    if spread < 1e-12:
        return np.full(len(weights), np.nan)
    scaled = (logits - logits.mean()) / spread
    start = np.zeros((len(weights), 2))
    start[:, 0] = np.log(truth.mean() / (1 - truth.mean())) if 0 < truth.mean() < 1 else np.nan
    if len(weights) > 1:
        # From the fit to all resamples together each of them is a few steps away.
        whole = _logistic_line(truth, scaled, weights.mean(axis=0, keepdims=True), start[:1])
        start = np.where(np.isfinite(whole), whole, start)
    line = np.full_like(start, np.nan)
    rows = _both_classes(truth, weights)
    line[rows] = _logistic_line(truth, scaled, weights[rows], start[rows])
    slope: Floats = line[:, 1] / spread
    return slope


def _logistic_line(truth: NDArray[np.bool_], values: Floats, weights: Floats, start: Floats) -> Floats:
    """Intercept and slope (B, 2) of logistic regressions by Newton's method, NaN where there is no finite one."""
    lines = np.full_like(start, np.nan)
    rows, line = np.arange(len(weights)), start
    for _ in range(_STEPS):
        if not rows.size:
            break
        fitted = expit(line[:, :1] + line[:, 1:] * values)
        share = weights * fitted
        curvature = share - share * fitted
        positive = weights[:, truth]
        g0, g1 = positive.sum(axis=1) - share.sum(axis=1), positive @ values[truth] - share @ values
        h00, h01, h11 = curvature.sum(axis=1), curvature @ values, curvature @ values**2
        with np.errstate(invalid="ignore", divide="ignore"):
            newton = np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0], axis=1) / (h00 * h11 - h01**2)[:, None]
        step = np.clip(newton, -5, 5)
        line = line + step
        size = np.abs(step).max(axis=1)
        done = size < _CONVERGED
        lines[rows[done]] = line[done]
        going = (size >= _CONVERGED) & (np.abs(line[:, 1]) < _SEPARATED)
        rows, line, weights = (rows, line, weights) if going.all() else (rows[going], line[going], weights[going])
    return lines


_STEPS = 100
# Newton's method squares its error: after such a step it is at the limit of float64.
_CONVERGED = 1e-8
# Logits of unit spread with such a slope separate the classes; the fit would grow for ever.
_SEPARATED = 20.0


def _both_classes(truth: NDArray[np.bool_], weights: Floats) -> NDArray[np.bool_]:
    both: NDArray[np.bool_] = (weights[:, truth].sum(axis=1) > 0) & (weights[:, ~truth].sum(axis=1) > 0)
    return both


def _cumulative_share(weights: Floats, starts: NDArray[np.intp]) -> Floats:
    cumulative = np.cumsum(np.add.reduceat(weights, starts, axis=1), axis=1)
    share: Floats = np.pad(cumulative, ((0, 0), (1, 0))) / cumulative[:, -1:]
    return share


def _where_defined(values: Floats, curves: Curves) -> Floats:
    fpr, tpr = curves
    return np.where(np.isfinite(fpr[:, -1]) & np.isfinite(tpr[:, -1]), values, np.nan)
