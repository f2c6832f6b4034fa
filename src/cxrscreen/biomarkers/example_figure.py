"""Figure 2 of Oh et al. 2020 on one radiograph: organs and measuring lines, the lungs alone, their grey values."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.biomarkers.cardiothoracic import CardiothoracicRatio, Line
from cxrscreen.biomarkers.intensity import lungs_of
from cxrscreen.biomarkers.measure import BINS
from cxrscreen.biomarkers.references import resized
from cxrscreen.biomarkers.study import Example

_LUNG: Final = "#56B4E9"
_HEART: Final = "#D55E00"
_TRUTH: Final = "#2fbf71"


def example_figure(example: Example) -> Figure:
    """Draw organs with the lines of the cardiothoracic ratio, the lungs cut out, and the histogram of their pixels.

    Parameters
    ----------
    example
        From a study. Where a predicted mask was measured and a reference exists, its outline is drawn in green.
    """
    figure = Figure(figsize=(11.5, 4.6), layout="constrained")
    organs, lungs, histogram = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    mask = resized(example.mask, example.pixels.shape)
    inside = lungs_of(mask.values)
    organs.imshow(example.pixels, cmap="gray", vmin=0, vmax=1)
    _outline(organs, inside, _LUNG, fill=True)
    if mask.heart is not None:
        _outline(organs, mask.heart, _HEART, fill=True)
    if example.truth is not None:
        _outline(organs, lungs_of(resized(example.truth, example.pixels.shape).values), _TRUTH)
    title = "Organs"
    if example.measured.ctr is not None:
        _lines(organs, example.measured.ctr)
        title = f"Organs; cardiothoracic ratio {example.measured.ctr.ratio:.3f}"
    organs.set_title(title, fontsize=10, loc="left")
    lungs.imshow(np.where(inside, example.pixels, 0.0), cmap="gray", vmin=0, vmax=1)
    lungs.set_title("Lungs alone, after the preprocessing", fontsize=10, loc="left")
    for axes in (organs, lungs):
        axes.set_axis_off()
    _histogram(histogram, example)
    truth = " Green: outline of the reference mask." if example.truth is not None else ""
    figure.supxlabel(
        f"Blue: lungs ({example.mask.origin}). Red: heart. The heart's two halves may lie on different rows.{truth}\n"
        f"One radiograph, which shows how things are measured and nothing else. {RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def _outline(
    axes: Axes, region: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], colour: str, *, fill: bool = False
) -> None:
    if not region.any():
        return
    plane = region.astype(np.float32)
    if fill:
        axes.contourf(plane, levels=(0.5, 1.5), colors=colour, alpha=0.22)
    axes.contour(plane, levels=(0.5,), colors=colour, linewidths=1.2)


def _lines(axes: Axes, ctr: CardiothoracicRatio) -> None:
    for line, colour in ((ctr.thorax, _LUNG), (ctr.heart_right, _HEART), (ctr.heart_left, _HEART)):
        _line(axes, line, colour)
    rows = (ctr.heart_right.row, ctr.heart_left.row)
    axes.plot([ctr.heart_left.left - 0.5] * 2, [min(rows), max(rows)], color=_HEART, linewidth=0.8, linestyle=":")


def _line(axes: Axes, line: Line, colour: str) -> None:
    # From the outer edge of the first pixel to that of the last.
    ends = (line.left - 0.5, line.row), (line.right + 0.5, line.row)
    axes.plot([ends[0][0], ends[1][0]], [line.row] * 2, color="white", linewidth=3.4, solid_capstyle="butt")
    axes.annotate("", *ends, arrowprops={"arrowstyle": "<->", "color": colour, "lw": 1.6, "shrinkA": 0, "shrinkB": 0})


def _histogram(axes: Axes, example: Example) -> None:
    shares = example.measured.histograms.get("preprocessed")
    mean, std = example.measured.markers["lung_mean"], example.measured.markers["lung_std"]
    if shares is None or mean is None or std is None:
        axes.set_axis_off()
        return
    axes.stairs(shares, np.linspace(0, 1, BINS + 1), fill=True, color=_LUNG, alpha=0.7)
    height = 1.06 * float(shares.max())
    axes.plot([mean, mean], [0, height], color="#222222", linewidth=1.2)
    axes.annotate("", (mean - std, height), (mean + std, height), arrowprops={"arrowstyle": "<->", "color": "#222222"})
    axes.text(mean, height * 1.02, f"mean {mean:.3f}, SD {std:.3f}", ha="center", va="bottom", fontsize=9)
    axes.set(xlim=(0, 1), ylim=(0, 1.16 * height), xlabel="Grey value", ylabel="Share of lung pixels")
    axes.set_title("Grey values of the lungs; arrow: mean -/+ one SD", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
