"""Bootstrap intervals that draw patients, not images.

Images of one patient (and near-duplicates) resemble each other; drawing them one by one would pretend to more evidence
than there is. A resample draws whole groups with replacement, so each resample is a row of weights over the images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrscreen.evaluate.metrics import Floats, wilson_interval

REPLICATES = 2000
"""Resamples per interval."""

_CHUNK_VALUES = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Parameters
    ----------
    value
        The figure on all cases; None where it is not defined.
    ci_low, ci_high
        Ends of the interval, None where there is none.
    n
        Images behind it.
    groups
        Patient groups behind it.
    method
        How the interval was made.
    replicates
        Resamples drawn; 0 for a formula.
    degenerate
        Resamples in which the figure was not defined (for example no positive drawn); they are left out.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    groups: int
    method: str
    replicates: int = 0
    degenerate: int = 0


def bootstrap(
    statistic: Callable[[Floats], Floats],
    groups: Sequence[str],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Percentile interval of one statistic, from weights (B, n) to values (B,); all else as for `bootstrap_all`."""
    return bootstrap_all(
        lambda weights: {"": statistic(weights)}, groups, replicates=replicates, seed=seed, level=level
    )[""]


def bootstrap_all(
    statistics: Callable[[Floats], Mapping[str, Floats]],
    groups: Sequence[str],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Percentile intervals of several statistics on the same resamples of groups.

    Parameters
    ----------
    statistics
        From weights (B, n) to values (B,) by name, NaN where not defined; made of the functions of `weighted`.
    groups
        (n,) group of each image.
    replicates, seed
        Number of resamples and the seed of the draw.
    level
        Confidence level in (0, 1).

    Returns
    -------
    dict of Estimate
        By name; an interval is None where more than half of the resamples are degenerate.

    Raises
    ------
    ValueError
        If there is no image or no replicate.
    """
    if not len(groups) or replicates < 1:
        raise ValueError("a bootstrap needs at least one image and one replicate")
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    n_groups = int(member.max()) + 1
    rng = np.random.default_rng(seed)
    chunk = max(1, min(replicates, _CHUNK_VALUES // member.size))
    drawn = []
    for start in range(0, replicates, chunk):
        counts = _drawn_counts(rng, min(chunk, replicates - start), n_groups)
        drawn.append(statistics(counts[:, member].astype(np.float64)))
    return {
        name: _estimate(float(value[0]), np.concatenate([part[name] for part in drawn]), member.size, n_groups, level)
        for name, value in statistics(np.ones((1, member.size))).items()
    }


def _drawn_counts(rng: np.random.Generator, rows: int, n_groups: int) -> NDArray[np.intp]:
    """How often each group is drawn, (rows, n_groups): per row as many draws as there are groups."""
    draws = rng.integers(0, n_groups, size=(rows, n_groups)) + np.arange(rows)[:, None] * n_groups
    return np.bincount(draws.ravel(), minlength=rows * n_groups).reshape(rows, n_groups)


def _estimate(value: float, replicates: Floats, n: int, n_groups: int, level: float) -> Estimate:
    defined = replicates[np.isfinite(replicates)]
    ends: tuple[float | None, float | None] = (None, None)
    if np.isfinite(value) and 2 * defined.size >= replicates.size:
        low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
        ends = (float(low), float(high))
    return Estimate(
        value=value if np.isfinite(value) else None,
        ci_low=ends[0],
        ci_high=ends[1],
        n=n,
        groups=n_groups,
        method="bootstrap by patient group",
        replicates=replicates.size,
        degenerate=replicates.size - defined.size,
    )


def grouped_rate(events: ArrayLike, groups: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Wilson interval of a proportion, its sample size reduced where images of one group behave alike.

    The effective sample size is n divided by the design effect of a ratio estimate over groups, never more than n.
    Where all events agree, or all are of one group, that effect cannot be estimated, and the number of groups is taken.
    With one image per group this is the plain Wilson interval. Unlike a bootstrap it does not shrink to a point at 0
    or 1.

    Parameters
    ----------
    events
        (n,) whether the event happened, for example "called positive" among the positives.
    groups
        (n,) group of each image.
    level
        Confidence level in (0, 1).

    Returns
    -------
    Estimate
        Without value and interval for no images.

    References
    ----------
    J. N. K. Rao, A. J. Scott, Biometrics 48:577-585, 1992.
    """
    happened = np.asarray(events, dtype=np.float64)
    method = "Wilson, sample size adjusted for patient groups"
    if happened.size == 0:
        return Estimate(value=None, ci_low=None, ci_high=None, n=0, groups=0, method=method)
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sizes = np.bincount(member)
    rate = float(happened.mean())
    if 0 < rate < 1 and sizes.size > 1:
        variance = float(np.sum((np.bincount(member, weights=happened) - rate * sizes) ** 2)) / happened.size**2
        effective = happened.size / max(1.0, variance / (rate * (1 - rate) / happened.size))
    else:
        effective = float(sizes.size)
    low, high = wilson_interval(min(rate * effective, effective), effective, level)
    return Estimate(value=rate, ci_low=low, ci_high=high, n=int(happened.size), groups=int(sizes.size), method=method)
