"""The figures of a decision: ROC curves pooled and by source, reliability of its probabilities, decision curve."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.classification import ClassificationResult, Figures
from cxrscreen.evaluate.use import Use

# Okabe and Ito's colours, which colour-blind readers can tell apart, without the yellow that vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#5B4B3A")
_STYLES = ("-", "--", "-.", ":")


def write_roc(scores: pd.DataFrame, result: ClassificationResult, title: str, folder: Path) -> tuple[Path, Path]:
    """Write ``roc.png`` and ``roc.svg``.

    Parameters
    ----------
    scores
        The table that was measured.
    result
        Its figures; the legend shows each AUC with its interval.
    title
        One line above the curves.
    folder
        An existing folder.

    Returns
    -------
    tuple of Path
        The two files.
    """
    return write_figure(roc_figure(scores, result, title), folder, "roc")


def write_use(use: Use, result: ClassificationResult, title: str, folder: Path) -> tuple[Path, ...]:
    """Write ``reliability`` and ``decision_curve`` as PNG and SVG; parameters as for `write_roc`."""
    return (
        *write_figure(reliability_figure(use, result, title), folder, "reliability"),
        *write_figure(decision_curve_figure(use, title), folder, "decision_curve"),
    )


def write_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a figure as ``NAME.png`` and ``NAME.svg`` into an existing folder; the same figure gives the same bytes."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    # Without a date and with a fixed salt the same scores give the same file.
    with mpl.rc_context({"svg.hashsalt": "cxrscreen"}):
        figure.savefig(png, dpi=150, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None})
    return png, svg


def roc_figure(scores: pd.DataFrame, result: ClassificationResult, title: str) -> Figure:
    """Draw the curves; parameters as for `write_roc`. A dot marks the operating point."""
    figure = Figure(figsize=(9.2, 6.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (1, 3)))
    for index, (source, figures) in enumerate(result.within.items()):
        rows = scores[scores["source"] == source]
        style = _STYLES[(index // len(COLOURS)) % len(_STYLES)]
        _curve(axes, rows, figures, source, color=COLOURS[index % len(COLOURS)], linewidth=1.6, linestyle=style)
    _curve(axes, scores, result.pooled, "all sources pooled", color="#222222", linewidth=2.4, linestyle=(0, (6, 2)))
    axes.set(
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
        xlabel="1 - specificity",
        ylabel="Sensitivity",
    )
    axes.set_title(title, fontsize=11, loc="left")
    _finish(figure, axes)
    figure.legend(
        loc="outside right upper", fontsize=8.5, frameon=False, title="AUC [95 % interval], n+ / n-", alignment="left"
    )
    _footnote(figure, _about_pooled(result))
    return figure


def reliability_figure(use: Use, result: ClassificationResult, title: str) -> Figure:
    """Draw positive rate over probability with intervals by patient group, over the number of images in each bin."""
    figure = Figure(figsize=(6.6, 7.2), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (1, 3)))
    filled = [item for item in use.reliability if item.mean_probability is not None]
    x = np.array([item.mean_probability for item in filled], np.float64)
    y, low, high = (
        np.array([getattr(item.positive_rate, end) for item in filled], np.float64)
        for end in ("value", "ci_low", "ci_high")
    )
    # A rate of 0 or 1 may lie outside its own interval by rounding.
    ends = np.maximum([y - low, high - y], 0.0)
    axes.errorbar(x, y, yerr=ends, color=COLOURS[0], marker="o", markersize=5, linewidth=1.6, capsize=3)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), ylabel="Share of positive images")
    axes.set_title(title, fontsize=11, loc="left")
    figures = result.pooled.estimates
    lines = [
        f"{name} {_with_interval(figures[key])}"
        for name, key in (
            ("ECE", "ece"),
            ("Slope", "calibration_slope"),
            ("Intercept", "calibration_intercept"),
            ("Brier", "brier"),
        )
    ]
    axes.text(0.02, 0.98, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8.5)
    edges = [item.low for item in use.reliability]
    widths = [item.high - item.low for item in use.reliability]
    counts = [item.positive_rate.n for item in use.reliability]
    below.bar(edges, counts, width=widths, align="edge", color="#cccccc", edgecolor="white")
    below.set(xlabel="Probability given by the system", ylabel="Images")
    _finish(figure, axes, below)
    share = result.pooled.positives / (result.pooled.positives + result.pooled.negatives)
    _footnote(
        figure,
        f"All sources pooled; bars: 95 % intervals by patient group. {100 * share:.0f} % of these images are positive; "
        "with another\nshare, or at another place, the curve is another.",
    )
    return figure


def decision_curve_figure(use: Use, title: str) -> Figure:
    """Draw net benefit over the threshold probability, with its band, beside acting on everybody and on nobody."""
    curve = use.decision_curve
    figure = Figure(figsize=(7.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    x = np.array(curve.thresholds)
    low, high = (np.array(ends, np.float64) for ends in (curve.low, curve.high))
    axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.18, linewidth=0, label="95 % interval by patient group")
    axes.plot(x, curve.net_benefit, color=COLOURS[0], linewidth=1.8, label="act on the score")
    axes.plot(x, curve.treat_all, color=COLOURS[1], linewidth=1.4, linestyle="--", label="act on everybody")
    axes.axhline(0.0, color="#222222", linewidth=1.2, linestyle=":", label="act on nobody")
    axes.set(
        xlim=(0, 1),
        ylim=(-0.3 * curve.prevalence, 1.05 * np.nanmax([curve.prevalence, *high])),
        xlabel="Threshold probability (the risk from which one would act)",
        ylabel="Net benefit (true positives per person)",
    )
    axes.set_title(title, fontsize=11, loc="left")
    _finish(figure, axes)
    axes.legend(loc="upper right", fontsize=8.5, frameon=False)
    origin = "that of these images, which is no hospital's" if curve.of_these_images else "asked for"
    _footnote(
        figure,
        f"At a share of positives of {100 * curve.prevalence:.1f} % ({origin}). The curve says nothing of harm or cost "
        "that the odds\nof the threshold do not express.",
    )
    return figure


def _finish(figure: Figure, *panels: Axes) -> None:
    for axes in panels:
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels()


def _footnote(figure: Figure, text: str) -> None:
    figure.supxlabel(f"{text}\n{RESEARCH_USE}", fontsize=7.5, color="#555555", x=0.01, ha="left")


def _with_interval(estimate: Estimate) -> str:
    if estimate.value is None:
        return "not defined"
    ends = "" if estimate.ci_low is None else f" [{estimate.ci_low:.2f}, {estimate.ci_high:.2f}]"
    return f"{estimate.value:.3f}{ends}"


def _about_pooled(result: ClassificationResult) -> str:
    if not result.one_class:
        return "Every source holds both classes."
    return (
        f"{len(result.one_class)} of {len(result.one_class) + len(result.within)} sources hold one class only and have "
        "no curve of their own; the pooled curve also measures how well those sources are told apart."
    )


def _curve(axes: Axes, rows: pd.DataFrame, figures: Figures, name: str, **line: Any) -> None:
    fpr, tpr, _ = roc_curve(rows["truth"].astype(int), rows["score"].astype(float))
    area = figures.estimates["auc"]
    ends = "" if area.ci_low is None else f" [{area.ci_low:.2f}-{area.ci_high:.2f}]"
    label = f"{name}\n{area.value:.3f}{ends}, {figures.positives} / {figures.negatives}"
    axes.plot(fpr, tpr, label=label, **line)
    if figures.counts is not None:
        point = (1 - figures.counts.specificity, figures.counts.sensitivity)
        axes.plot(*point, marker="o", markersize=5, color=line["color"], zorder=4)
