"""Estimates on axes, each with its interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from cxrscreen.evaluate.bootstrap import Estimate


def draw_intervals(
    axes: Axes, places: Sequence[float], estimates: Sequence[Estimate | None], *, colour: str, label: str, line: bool
) -> None:
    """Draw estimates in percent over their places; what is not defined is left out, a missing end is the value.

    Parameters
    ----------
    axes
        Drawn into.
    places, estimates
        One for each, along the horizontal axis.
    colour, label
        Of the series.
    line
        Whether the points are joined.
    """
    known = [
        (place, each.value, each.ci_low, each.ci_high)
        for place, each in zip(places, estimates, strict=True)
        if each is not None and each.value is not None
    ]
    values = np.array([100 * value for _, value, _, _ in known])
    low = np.array([100 * (value if end is None else end) for _, value, end, _ in known])
    high = np.array([100 * (value if end is None else end) for _, value, _, end in known])
    axes.errorbar(
        [place for place, *_ in known],
        values,
        yerr=[np.maximum(values - low, 0), np.maximum(high - values, 0)],
        fmt="o-" if line else "o",
        color=colour,
        capsize=3,
        linewidth=1.6,
        label=label,
    )
