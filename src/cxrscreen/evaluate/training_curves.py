"""Curves of a patch-voting training: accuracy and F1 by epoch, of what is learned from and of what is held out.

The patch-voting paper's Fig. 10: a gap that opens between the two is overfitting.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import RecipeError
from cxrscreen.evaluate.figures import COLOURS, write_figure

PANELS = (
    ("Accuracy", "train_accuracy", "accuracy"),
    ("Macro F1", "train_f1", "validation_score"),
)
"""Title and columns, of training patches and of the votes on validation images."""


def read_curves(folder: Path) -> pd.DataFrame:
    """Join what a training wrote down, also over stops in between.

    Parameters
    ----------
    folder
        Of one phase: ``metrics.csv``, and ``metrics-1.csv`` and so on of runs before a stop.

    Returns
    -------
    DataFrame
        One row per epoch, the index; the columns of :data:`PANELS` in [0, 1]. Of an epoch that was run twice the later
        run counts.

    Raises
    ------
    RecipeError
        If there are no curves of a patch classifier.
    """
    numbered = sorted(folder.glob("metrics-*.csv"), key=lambda path: int(path.stem.rpartition("-")[2]))
    files = [file for file in (*numbered, folder / "metrics.csv") if file.is_file()]
    columns = [column for _, *pair in PANELS for column in pair]
    tables = [table for table in map(pd.read_csv, files) if {"epoch", *columns} <= set(table.columns)]
    if not tables:
        raise RecipeError(
            f"{folder.name} holds no training curves of a patch classifier: give the work folder of its training."
        )
    curves: pd.DataFrame = pd.concat(tables).groupby("epoch")[columns].last().dropna(how="all")
    return curves


def curves_figure(curves: pd.DataFrame, title: str) -> Figure:
    """Draw the curves of :func:`read_curves`."""
    figure = Figure(figsize=(9.2, 4.4), layout="constrained")
    kept = int(curves["validation_score"].to_numpy(dtype=float).argmax())
    for axes, (name, learned, held_out) in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
        epochs = curves.index + 1
        axes.plot(epochs, curves[learned], color=COLOURS[0], linewidth=1.6, label="training patches")
        axes.plot(epochs, curves[held_out], color=COLOURS[1], linewidth=1.6, linestyle="--", label="validation votes")
        axes.plot(epochs[kept : kept + 1], curves[held_out].iloc[kept : kept + 1], "o", color=COLOURS[1], markersize=5)
        axes.set(xlabel="Epoch", ylim=(-0.02, 1.02))
        axes.set_title(name, fontsize=11, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.supxlabel(
        "The dot is the epoch that was kept. Patches are counted in training and whole images in validation, so the "
        f"course of the two curves\ncompares, not their height. {RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def write_curves(work: Path, title: str, out: Path) -> tuple[Path, ...]:
    """Write ``curves-phaseN.png`` and ``.svg`` for each phase of a classifier's training.

    Parameters
    ----------
    work
        The training's work folder.
    title
        One line above the curves.
    out
        An existing folder.

    Raises
    ------
    RecipeError
        If the folder holds no curves.
    """
    phases = sorted((work / "classifier").glob("phase*"))
    if not phases:
        raise RecipeError(f"{work.name} is no work folder of patch voting: give the folder that --work named.")
    return tuple(
        path
        for phase in phases
        for path in write_figure(curves_figure(read_curves(phase), title), out, f"curves-{phase.name}")
    )
