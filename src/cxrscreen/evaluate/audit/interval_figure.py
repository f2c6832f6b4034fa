"""Figures of several estimates with their intervals, one below the other, in panels."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.bootstrap import Estimate

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""


def interval_figure(
    panels: Mapping[str, Mapping[str, Sequence[Estimate | None]]],
    series: Sequence[str],
    *,
    axis: str,
    chance: float | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """Draw estimates as dots with their intervals as lines.

    Parameters
    ----------
    panels
        By the panel's title, then by the row's name, an estimate for each of ``series``; None leaves a gap.
    series
        Names of the colours.
    axis
        What the figure is, below the axis.
    chance
        Where a broken line stands for a model that knows nothing; None: no line.
    limits
        Ends of the axis.
    """
    rows = max(len(panel) for panel in panels.values())
    height = 1.7 + (0.22 + 0.17 * len(series)) * rows
    figure = Figure(figsize=(4.0 + 2.9 * len(panels), height), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (title, panel) in zip(axes, panels.items(), strict=True):
        _panel(place, panel, len(series))
        place.set_title(title, fontsize=10, loc="left")
        place.set(xlim=limits, xlabel=axis)
        if chance is not None:
            place.axvline(chance, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    handles = [axes[0].plot([], [], "o-", color=COLOURS[i], markersize=4)[0] for i in range(len(series))]
    if len(series) > 1:
        figure.legend(handles, series, loc="outside upper left", ncols=len(series), fontsize=8.5, frameon=False)
    figure.supxlabel(
        f"Lines: 95 % intervals by patient. {RESEARCH_USE}", fontsize=7, color="#555555", x=0.01, ha="left"
    )
    return figure


def _panel(axes: Axes, panel: Mapping[str, Sequence[Estimate | None]], n_series: int) -> None:
    for row, estimates in enumerate(panel.values()):
        for index, estimate in enumerate(estimates):
            if estimate is None or estimate.value is None:
                continue
            y = row + (index - (n_series - 1) / 2) * 0.6 / n_series
            if estimate.ci_low is not None and estimate.ci_high is not None:
                axes.plot([estimate.ci_low, estimate.ci_high], [y, y], color=COLOURS[index], linewidth=1.8)
            axes.plot(estimate.value, y, "o", color=COLOURS[index], markersize=4.5)
    axes.set_yticks(range(len(panel)), list(panel), fontsize=8.5)
    axes.set_ylim(len(panel) - 0.5, -0.5)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
