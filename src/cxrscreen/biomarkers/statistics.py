"""The tests between classes: rank sum and Kolmogorov-Smirnov, their stars, and the correction for many of them."""

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVELS: Final = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Stars of a p value below each level (Oh et al. 2020, section III-B)."""
NOT_SIGNIFICANT: Final = "-"
_MONTE_CARLO: Final = 999


def stars(p_value: float | None) -> str:
    """Write a p value in the paper's stars: ``*`` below 0.05, ``**`` below 0.01, ``***`` below 0.001, else ``-``.

    Returns
    -------
    str
        Empty where there is no p value.
    """
    if p_value is None or np.isnan(p_value):
        return ""
    return next((mark for level, mark in LEVELS if p_value < level), NOT_SIGNIFICANT)


def rank_sum(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p value of Wilcoxon's rank sum test (Mann and Whitney's), for two independent samples.

    Parameters
    ----------
    first, second
        (n,) and (m,), at least one value each.

    Returns
    -------
    float
        In [0, 1]; exact for small samples without ties, else by the normal approximation.
    """
    return float(stats.mannwhitneyu(first, second, alternative="two-sided").pvalue)


def kolmogorov_smirnov(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov test.

    Returns
    -------
    tuple of float
        Largest distance of the two cumulative distributions, in [0, 1], and the two-sided p value.
    """
    with warnings.catch_warnings():
        # Where its exact sum overflows SciPy falls back to the limit, which is what one would take.
        warnings.filterwarnings("ignore", message="ks_2samp: Exact calculation unsuccessful")
        result = stats.ks_2samp(first, second)
    return float(result.statistic), float(result.pvalue)


def normality(values: ArrayLike, *, seed: int = 0) -> float | None:
    """P value of the Kolmogorov-Smirnov test for a normal distribution of unknown mean and spread.

    The mean and spread are estimated from the sample itself, so the usual table of the test would call nearly
    everything normal; the p value is Lilliefors', by simulation.

    Parameters
    ----------
    values
        (n,).
    seed
        Of the simulation.

    Returns
    -------
    float or None
        In (0, 1]; None for fewer than four values or values that are all the same.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size < 4 or np.ptp(sample) == 0:
        return None
    tested = stats.goodness_of_fit(
        stats.norm, sample, statistic="ks", n_mc_samples=_MONTE_CARLO, rng=np.random.default_rng(seed)
    )
    return float(tested.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for having made all of these tests together (Holm 1979).

    Returns
    -------
    list of float
        In the order given, each at least the value before the correction and at most 1.
    """
    plain = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(plain)
    stepped = plain[order] * np.arange(plain.size, 0, -1)
    corrected: NDArray[np.float64] = np.empty_like(plain)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(value) for value in corrected]
