"""DeLong's interval of an AUC, and of the difference of two AUCs on the same cases."""

from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from cxrscreen.evaluate.metrics import Floats, checked_scores


def delong_interval(truth: ArrayLike, scores: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """AUC with its normal interval from structural components.

    It treats every image as independent: where patients have several images, the bootstrap by group is the honest one.

    Parameters
    ----------
    truth
        (n,) of 0 and 1, at least two of each.
    scores
        (n,) of finite numbers.
    level
        Confidence level in (0, 1).

    Returns
    -------
    tuple of float
        AUC, low and high end, the ends kept in [0, 1].

    Raises
    ------
    ValueError
        As for `metrics.auc`, and for fewer than two positives or negatives.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44:837-845, 1988; with the mid-ranks of X. Sun, W. Xu,
    IEEE Signal Process. Lett. 21:1389-1393, 2014.
    """
    area, variance = delong_variance(truth, scores)
    half = float(norm.ppf(0.5 + level / 2)) * variance**0.5
    return area, max(0.0, area - half), min(1.0, area + half)


def delong_variance(truth: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """AUC and the variance of its estimate."""
    area, of_positives, of_negatives = _components(truth, scores)
    return area, float(of_positives.var(ddof=1) / of_positives.size + of_negatives.var(ddof=1) / of_negatives.size)


def delong_difference(
    truth: ArrayLike, first: ArrayLike, second: ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """Difference AUC(first) - AUC(second) of two scores on the same cases, with its paired normal interval.

    Parameters
    ----------
    truth, first, second
        (n,) each, as for `delong_interval`.
    level
        Confidence level in (0, 1).

    Returns
    -------
    tuple of float
        Difference, low and high end.
    """
    difference, error = _difference(truth, first, second)
    half = float(norm.ppf(0.5 + level / 2)) * error
    return difference, difference - half, difference + half


def delong_p_value(truth: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p-value of equal AUCs of two scores on the same cases; arguments as for `delong_difference`.

    In [0, 1]; 1 where the scores rank the cases alike.
    """
    difference, error = _difference(truth, first, second)
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return 2 * float(norm.sf(abs(difference) / error))


def _difference(truth: ArrayLike, first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """Difference of the AUCs and its standard error."""
    area_1, positives_1, negatives_1 = _components(truth, first)
    area_2, positives_2, negatives_2 = _components(truth, second)
    positives, negatives = positives_1 - positives_2, negatives_1 - negatives_2
    variance = float(positives.var(ddof=1) / positives.size + negatives.var(ddof=1) / negatives.size)
    return area_1 - area_2, variance**0.5


def _components(truth: ArrayLike, scores: ArrayLike) -> tuple[float, Floats, Floats]:
    """AUC; per positive the share of negatives below it; per negative the share of positives above it."""
    positive, values = checked_scores(truth, scores)
    above, below = values[positive], values[~positive]
    if min(above.size, below.size) < 2:
        raise ValueError("DeLong's variance needs at least two positives and two negatives")
    ranks = rankdata(values)
    of_positives = (ranks[positive] - rankdata(above)) / below.size
    of_negatives = 1 - (ranks[~positive] - rankdata(below)) / above.size
    return float(of_positives.mean()), of_positives, of_negatives
