"""The figures of a decision between several classes: each class against the rest, and the confusion matrix."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.figures import COLOURS, write_figure
from cxrscreen.evaluate.several_classes import PREFIX, ClassesResult


def write_classes(table: pd.DataFrame, result: ClassesResult, title: str, folder: Path) -> tuple[Path, ...]:
    """Write ``roc`` and ``confusion`` as PNG and SVG.

    Parameters
    ----------
    table, result
        What was measured, and its figures.
    title
        One line above each.
    folder
        An existing folder.
    """
    return (
        *write_figure(classes_roc_figure(table, result, title), folder, "roc"),
        *write_figure(confusion_figure(result, title), folder, "confusion"),
    )


def classes_roc_figure(table: pd.DataFrame, result: ClassesResult, title: str) -> Figure:
    """Draw one curve per class that has images, against all others, all sources pooled."""
    figure = Figure(figsize=(8.4, 6.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (1, 3)))
    for index, (name, images) in enumerate(zip(result.classes, result.support, strict=True)):
        area = result.by_class[name]["auc"]
        if area.value is None:
            continue
        fpr, tpr, _ = roc_curve(table["truth"] == name, table[PREFIX + name].astype(float))
        ends = "" if area.ci_low is None else f" [{area.ci_low:.2f}-{area.ci_high:.2f}]"
        label = f"{name}\n{area.value:.3f}{ends}, {images} / {len(table) - images}"
        axes.plot(fpr, tpr, color=COLOURS[index % len(COLOURS)], linewidth=1.7, label=label)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel="1 - specificity", ylabel="Sensitivity")
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        loc="outside right upper", fontsize=8.5, frameon=False, title="AUC [95 % interval], n+ / n-", alignment="left"
    )
    figure.supxlabel(
        f"Each class against the rest, all sources pooled.\n{RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def confusion_figure(result: ClassesResult, title: str) -> Figure:
    """Draw the confusion matrix: counts, shaded by the share of their row."""
    counts = np.array(result.confusion)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 2.6 + 0.9 * len(result.classes)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(result.classes))
    axes.set_xticks(ticks, result.classes, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, result.classes)
    axes.set(xlabel="Called (greatest probability)", ylabel="Truth")
    for row, column in np.ndindex(counts.shape):
        colour = "white" if share[row, column] > 0.6 else "#222222"
        text = f"{counts[row, column]}\n{100 * share[row, column]:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_title(title, fontsize=11, loc="left")
    figure.supxlabel(RESEARCH_USE, fontsize=7.5, color="#555555", x=0.01, ha="left")
    return figure
