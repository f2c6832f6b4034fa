"""The ROC curves of a decision: pooled, and of each source that holds both classes."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.classification import ClassificationResult, Figures

# Okabe and Ito's colours, which colour-blind readers can tell apart, without the yellow that vanishes on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#5B4B3A")
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
    figure = roc_figure(scores, result, title)
    png, svg = folder / "roc.png", folder / "roc.svg"
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
        style = _STYLES[(index // len(_COLOURS)) % len(_STYLES)]
        _curve(axes, rows, figures, source, color=_COLOURS[index % len(_COLOURS)], linewidth=1.6, linestyle=style)
    _curve(axes, scores, result.pooled, "all sources pooled", color="#222222", linewidth=2.4, linestyle=(0, (6, 2)))
    axes.set(
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
        xlabel="1 - specificity",
        ylabel="Sensitivity",
    )
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        loc="outside right upper", fontsize=8.5, frameon=False, title="AUC [95 % interval], n+ / n-", alignment="left"
    )
    figure.supxlabel(f"{_about_pooled(result)}\n{RESEARCH_USE}", fontsize=7.5, color="#555555", x=0.01, ha="left")
    return figure


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
