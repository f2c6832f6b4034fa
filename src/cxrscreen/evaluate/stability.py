"""How much a figure changes with the initialisation of a training, and what little three trainings say of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2


@dataclass(frozen=True)
class Spread:
    """A figure over trainings that differ in the seed alone.

    Parameters
    ----------
    values
        Of each training.
    mean
        Their mean.
    deviation
        Their standard deviation, with n - 1 in the denominator; None for one training.
    low, high
        Interval of the deviation; None for one training.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float | None
    low: float | None
    high: float | None


def spread_over_trainings(values: Sequence[float], *, level: float = 0.95) -> Spread:
    """Measure how stable a figure is.

    The interval is that of a standard deviation of normal values, from the chi-squared distribution. For three
    trainings it reaches from half of the deviation found to more than six times as much, so that three trainings
    rarely tell two methods apart.

    Parameters
    ----------
    values
        The figure of each training, at least one.
    level
        Confidence level in (0, 1).

    Raises
    ------
    ValueError
        If there is no value, or one is not finite.
    """
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or found.size == 0 or not np.isfinite(found).all():
        raise ValueError("values must be (n,) finite numbers, at least one")
    mean = float(found.mean())
    if found.size == 1:
        return Spread(tuple(map(float, found)), mean, None, None, None)
    deviation, freedom = float(found.std(ddof=1)), found.size - 1
    low, high = (
        deviation * float(np.sqrt(freedom / chi2.ppf(share, freedom))) for share in (0.5 + level / 2, 0.5 - level / 2)
    )
    return Spread(tuple(map(float, found)), mean, deviation, low, high)
