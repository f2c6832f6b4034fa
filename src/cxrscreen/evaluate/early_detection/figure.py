"""The figure of early detection: one line a case, after Yeh et al. 2020, Fig. 4."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.early_detection.timelines import Timeline

_BOX, _EDGE, _CALLED, _NOT_CALLED, _FIRST = "#cfe4f5", "#0072B2", "#D55E00", "#8a8a8a", "#b00020"
_HALF = 0.36
"""Half the height of a box, in lines."""
_LARGEST_HEIGHT = 60.0
"""Inches; beyond it the lines come closer and their numbers are left out."""
_NOTE = (
    "Cases only, numbered in the order of the table: an early call says nothing of how many people without the disease "
    "are called."
)


def write_figure(lines: Sequence[Timeline], title: str, zero: str, stem: Path) -> tuple[Path, Path]:
    """Write the figure as PNG and SVG.

    Parameters
    ----------
    lines
        At least one; drawn with the earliest first call on top and those never called below.
    title
        One or two lines above the figure.
    zero
        The event on day 0, for example ``"RT-PCR confirmation"``.
    stem
        Path without suffix, in an existing folder.

    Returns
    -------
    tuple of Path
        The two files. They show numbers of cases and days between events: no identifier and no date.
    """
    figure = early_figure(lines, title, zero)
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    # Without a date and with a fixed salt the same table gives the same file.
    with mpl.rc_context({"svg.hashsalt": "cxrscreen"}):
        figure.savefig(png, dpi=150, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None})
    return png, svg


def early_figure(lines: Sequence[Timeline], title: str, zero: str) -> Figure:
    """Draw the figure; parameters as for `write_figure`."""
    confirmed = any(line.confirmed is not None for line in lines)
    ordered = sorted(lines, key=_order)
    height = min(1.9 + 0.17 * len(ordered), _LARGEST_HEIGHT)
    figure = Figure(figsize=(9.6, max(height, 3.6)), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, ordered)
    axes.axvline(0, color="#333333", linewidth=0.9, zorder=2)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    if len(ordered) * 0.17 <= _LARGEST_HEIGHT:
        axes.set_yticks(range(len(ordered)), [str(line.number) for line in ordered], fontsize=6.5)
    else:
        axes.set_yticks([])
    axes.set(xlabel=f"Days since {zero} (negative: before it)", ylabel="Case")
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(axis="x", color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(
        handles=_legend(confirmed, any(line.onset is not None for line in lines), zero),
        loc="outside lower left",
        ncols=3,
        fontsize=8,
        frameon=False,
        title=f"{_NOTE}\n{RESEARCH_USE}",
        title_fontproperties={"size": 7.5},
        alignment="left",
    )
    return figure


def _order(line: Timeline) -> tuple[bool, int, int]:
    first = line.first_call
    return first is None, line.calls[0][0] if first is None else first, line.number


def _draw(axes: Axes, lines: Sequence[Timeline]) -> None:
    rows = range(len(lines))
    spans = [[*(day for day, _ in line.calls), *_known(line.onset, line.confirmed)] for line in lines]
    axes.hlines(rows, list(map(min, spans)), list(map(max, spans)), color="#c8c8c8", linewidth=0.7, zorder=1.5)
    boxes = [
        (row, line.onset, line.confirmed)
        for row, line in enumerate(lines)
        if line.onset is not None and line.confirmed is not None
    ]
    axes.barh(
        [row for row, _, _ in boxes],
        [confirmed - onset for _, onset, confirmed in boxes],
        left=[onset for _, onset, _ in boxes],
        height=2 * _HALF,
        color=_BOX,
        zorder=1,
    )
    _ticks(axes, [line.onset for line in lines], color=_EDGE, linewidth=1.4, zorder=3)
    calls = [(day, row, called) for row, line in enumerate(lines) for day, called in line.calls]
    for called, fill, edge, order in ((False, "white", _NOT_CALLED, 4), (True, _CALLED, _CALLED, 5)):
        dots = [(day, row) for day, row, was in calls if was == called]
        x, y = [day for day, _ in dots], [row for _, row in dots]
        axes.scatter(x, y, s=13, facecolors=fill, edgecolors=edge, linewidths=0.9, zorder=order)
    _ticks(axes, [line.first_call for line in lines], color=_FIRST, linewidth=2, zorder=6)
    for row in rows:
        if lines[row].first_call is None:
            axes.annotate(
                "never called", (1.0, row), xycoords=("axes fraction", "data"), fontsize=6, color="#777777", va="center"
            )


def _known(*days: int | None) -> list[int]:
    return [day for day in days if day is not None]


def _ticks(axes: Axes, days: Sequence[int | None], **style: Any) -> None:
    rows = [row for row, day in enumerate(days) if day is not None]
    axes.vlines(_known(*days), [row - _HALF for row in rows], [row + _HALF for row in rows], **style)


def _legend(confirmed: bool, onset: bool, zero: str) -> list[Line2D | Patch]:
    def dot(edge: str, fill: str, label: str) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="none",
            marker="o",
            markersize=4.5,
            markeredgecolor=edge,
            markerfacecolor=fill,
            label=label,
        )

    handles: list[Line2D | Patch] = [
        Line2D([], [], color=_FIRST, linewidth=2, label="first radiograph called positive"),
        dot(_CALLED, _CALLED, "radiograph called positive"),
        dot(_NOT_CALLED, "white", "radiograph not called"),
        Line2D([], [], color="#333333", linewidth=0.9, label=zero),
    ]
    if onset:
        handles.append(Line2D([], [], color=_EDGE, linewidth=1.4, label="symptom onset (none: not known)"))
    if onset and confirmed:
        handles.append(Patch(color=_BOX, label="from onset to confirmation"))
    return handles
