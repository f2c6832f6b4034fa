"""Whether probabilities mean what they say: the reliability curve, and the temperature that corrects them.

The temperature is fitted on validation images and stored in the bundle; what is left of a miscalibration is measured on
the test part by ECE, slope and intercept (`classification`), which say it in numbers, and the curve, which shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from cxrscreen.evaluate.bootstrap import Estimate, grouped_rate
from cxrscreen.evaluate.metrics import Floats, calibration_bin, checked_scores

SMALLEST_PROBABILITY = 1e-7
"""Probabilities nearer to 0 or 1 than this (about the step of float32 at 1) are moved there before a logit is taken."""

TEMPERATURES = (0.05, 20.0)
"""Outside these a temperature is taken as not found: the scores separate the classes, or do not rank them at all."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose probability falls in one bin.

    Parameters
    ----------
    low, high
        Ends of the bin in [0, 1]; the upper one belongs to the next bin, but for 1.0.
    mean_probability
        Of its images, in [0, 1]; None for an empty bin.
    positive_rate
        Share of its images that are positive, with its interval by patient group; without a value for an empty bin.
    """

    low: float
    high: float
    mean_probability: float | None
    positive_rate: Estimate


def reliability_curve(
    truth: ArrayLike, probabilities: ArrayLike, groups: Sequence[str], *, bins: int = 10, level: float = 0.95
) -> tuple[ReliabilityBin, ...]:
    """Compare probability and positive rate in bins of equal width.

    Parameters
    ----------
    truth, probabilities
        (n,) of 0 / 1 and (n,) in [0, 1]; one class may be missing.
    groups
        (n,) patient group of each image, for the intervals.
    bins
        Number of bins on [0, 1].
    level
        Confidence level in (0, 1).

    Returns
    -------
    tuple of ReliabilityBin
        All of them in order, the empty ones too; the bins of `metrics.expected_calibration_error`.

    Raises
    ------
    ValueError
        If the probabilities are not in [0, 1], or as for `metrics.auc`.
    """
    positive, values = checked_scores(truth, probabilities, both_classes=False)
    if values.min() < 0 or values.max() > 1:
        raise ValueError("probabilities must lie in [0, 1]")
    member, names = calibration_bin(values, bins), np.asarray(groups, dtype=str)
    curve = []
    for index in range(bins):
        inside = member == index
        curve.append(
            ReliabilityBin(
                low=index / bins,
                high=(index + 1) / bins,
                mean_probability=float(values[inside].mean()) if inside.any() else None,
                positive_rate=grouped_rate(positive[inside], names[inside], level=level),
            )
        )
    return tuple(curve)


def logits_of(probabilities: ArrayLike) -> Floats:
    """Log odds of probabilities, float64, finite; see `SMALLEST_PROBABILITY`."""
    values = np.clip(np.asarray(probabilities, np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    logits: Floats = logit(values)
    return logits


@dataclass(frozen=True)
class Temperature:
    """The number by which logits are divided so that their sigmoid is calibrated on the images of the fit.

    Parameters
    ----------
    value
        Above 1 where the probabilities were too extreme; 1 where none was found.
    found
        False where the likelihood has no maximum within `TEMPERATURES`.
    loss_before, loss_after
        Mean negative log-likelihood in nats, weighted as the fit, without and with the temperature.
    """

    value: float
    found: bool
    loss_before: float
    loss_after: float


def fit_temperature(truth: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None) -> Temperature:
    """Find the temperature of greatest likelihood on validation images.

    Dividing by it does not change the order of the scores, so no AUC and no ROC curve.

    Parameters
    ----------
    truth, logits
        (n,) of 0 and 1, both present, and (n,) finite.
    weights
        (n,) weight of each image, above 0; None: all the same.

    Raises
    ------
    ValueError
        As for `metrics.auc`.

    References
    ----------
    C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """
    positive, values = checked_scores(truth, logits)
    share = np.ones(values.size) if weights is None else np.asarray(weights, dtype=np.float64)
    share = share / share.sum()

    def slope(inverse: float) -> float:
        # Derivative of the loss by 1 / T; it grows with 1 / T, for the loss is convex in it.
        return float(np.sum(share * (expit(inverse * values) - positive) * values))

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    before = _loss(positive, values, share)
    if not slope(low) < 0 < slope(high):
        return Temperature(value=1.0, found=False, loss_before=before, loss_after=before)
    value = 1 / float(brentq(slope, low, high, xtol=1e-14, rtol=1e-14))
    return Temperature(value=value, found=True, loss_before=before, loss_after=_loss(positive, values / value, share))


def at_temperature(probabilities: ArrayLike, temperature: float) -> Floats:
    """Probabilities (n,) after their logits were divided by the temperature."""
    scaled: Floats = expit(logits_of(probabilities) / temperature)
    return scaled


def _loss(positive: NDArray[np.bool_], logits: Floats, share: Floats) -> float:
    return float(np.sum(share * np.logaddexp(0.0, np.where(positive, -logits, logits))))
