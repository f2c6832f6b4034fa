"""What this room needs of whoever makes intervals, and the weighted figures it hands to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]


class Interval(Protocol):
    """A figure with the ends of its interval, None where not defined."""

    @property
    def value(self) -> float | None:
        """The figure on all cases."""

    @property
    def ci_low(self) -> float | None:
        """Lower end."""

    @property
    def ci_high(self) -> float | None:
        """Upper end."""

    @property
    def n(self) -> int:
        """Images behind it."""


class Intervals(Protocol):
    """Makes intervals of several statistics by drawing groups: ``evaluate.bootstrap.bootstrap_all`` is one."""

    def __call__(
        self, statistics: Callable[[Floats], Mapping[str, Floats]], groups: Sequence[str]
    ) -> Mapping[str, Interval]:
        """From weights (B, n) to values (B,) by name, and the group of each of the n images, to intervals by name."""


class Rates(Protocol):
    """Makes the interval of a share of images, not a point at 0 or 1: ``evaluate.bootstrap.grouped_rate`` is one."""

    def __call__(self, events: ArrayLike, groups: ArrayLike, /) -> Interval:
        """From (n,) whether it happened and (n,) the groups to the share with its interval."""


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Mean of ``values`` (n,) in each resample, (B,); NaN where it has no weight."""
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean: Floats = (weights @ values) / total
    return mean


def weighted_std(values: Floats, weights: Floats) -> Floats:
    """Sample standard deviation of ``values`` (n,) in each resample, (B,); NaN where fewer than two are drawn."""
    total = weights.sum(axis=1)
    # Shifted, so that the difference of two large squares loses no digits.
    shifted = values - values.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = weights @ shifted**2 - (weights @ shifted) ** 2 / total
        std: Floats = np.sqrt(np.where(total > 1, np.maximum(squares, 0.0) / (total - 1), np.nan))
    return std


def weighted_superiority(first: Floats, second: Floats, weights: Floats) -> Floats:
    """Chance that a value of ``first`` (n,) exceeds one of ``second`` (m,), ties half, in each resample.

    Parameters
    ----------
    first, second
        Values of two classes.
    weights
        (B, n + m), those of ``first`` before those of ``second``.

    Returns
    -------
    float64 (B,)
        In [0, 1], 0.5 where neither is larger; NaN where a class is not drawn.
    """
    ranks = rankdata(np.concatenate([first, second]), method="dense").astype(np.intp) - 1
    size = int(ranks.max()) + 1
    own, other = weights[:, : first.size], weights[:, first.size :]
    at = np.zeros((len(weights), size))
    np.add.at(at.T, ranks[first.size :], other.T)
    below = np.cumsum(at, axis=1) - 0.5 * at
    with np.errstate(invalid="ignore", divide="ignore"):
        chance: Floats = (own * below[:, ranks[: first.size]]).sum(axis=1) / (own.sum(axis=1) * other.sum(axis=1))
    return chance
