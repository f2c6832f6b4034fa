"""Curves of a training, epoch by epoch (Figs. 11, 12, 16), and accuracy by share of the training images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import RecipeError
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.figures import COLOURS, write_figure
from cxrscreen.evaluate.reproduce.covid_cxnet import wording as say
from cxrscreen.evaluate.reproduce.covid_cxnet.intervals import draw_intervals
from cxrscreen.evaluate.reproduce.covid_cxnet.measure import NEW, measure
from cxrscreen.evaluate.reproduce.covid_cxnet.paper import TITLES
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import CxNetRuns
from cxrscreen.evaluate.reproduce.table import Part, Table, percent
from cxrscreen.systems.covid_cxnet.classes import CLASSES

SCORE, AREA = "validation_score", "AUC and lungs"
PANELS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Loss": (("epoch_loss", "training"), ("validation_loss", "validation")),
    "Accuracy": (("train_accuracy", "training"), ("accuracy", "validation")),
    AREA: (("auc", "AUC, validation"), ("lung_share", "Grad-CAM inside the lungs")),
}
"""Columns and their names, by panel; a panel without any column is left out. Of a pre-training there is a mean AUC."""
COLUMNS: Mapping[str, str] = {
    "epoch_loss": "Training loss",
    "validation_loss": "Validation loss",
    "train_accuracy": "Training accuracy",
    "accuracy": "Validation accuracy",
    "auc": "Validation AUC",
    "lung_share": "Grad-CAM inside the lungs",
}
"""Of the kept epoch, in the table."""
DRAWN = ("base-v1", "base-v2", "whole", "own", "three")


def read_curves(folder: Path) -> pd.DataFrame:
    """Join the phases of a training, also over stops in between.

    Parameters
    ----------
    folder
        Holds ``phaseN/metrics.csv``, and beside it ``metrics-1.csv`` and so on of runs before a stop.

    Returns
    -------
    DataFrame
        A row for each epoch, counted on over the phases, with ``phase`` and the columns of :data:`PANELS` that there
        are. Of an epoch that was run twice the later run counts.

    Raises
    ------
    RecipeError
        If there are no curves.
    """
    wanted = [SCORE, *(column for columns in PANELS.values() for column, _ in columns)]
    tables: list[pd.DataFrame] = []
    for phase in sorted(folder.glob("phase*"), key=lambda path: int(path.name.removeprefix("phase"))):
        earlier = sorted(phase.glob("metrics-*.csv"), key=lambda path: int(path.stem.rpartition("-")[2]))
        files = [file for file in (*earlier, phase / "metrics.csv") if file.is_file()]
        joined = pd.concat([pd.read_csv(file) for file in files]) if files else pd.DataFrame()
        # A run that was stopped in its first epoch has validated nothing.
        if SCORE in joined:
            epochs = joined.groupby("epoch")[[name for name in wanted if name in joined]].last().dropna(subset=[SCORE])
            tables.append(epochs.reset_index(drop=True).assign(phase=phase.name))
    if not tables:
        raise RecipeError(f"{folder.name} holds no curves of a training: give the work folder that train wrote.")
    return pd.concat(tables, ignore_index=True)


def curves_figure(curves: pd.DataFrame, title: str) -> Figure:
    """Draw the curves of :func:`read_curves`; the dot marks the epoch that each phase kept."""
    panels = {name: [c for c in columns if c[0] in curves] for name, columns in PANELS.items()}
    if not panels[AREA]:
        panels[AREA] = [(SCORE, "mean AUC over findings, validation")]
    panels = {name: columns for name, columns in panels.items() if columns}
    figure = Figure(figsize=(4.1 * max(len(panels), 2), 4.2), layout="constrained")
    epochs = np.arange(1, len(curves) + 1)
    kept = curves.groupby("phase", sort=False)[SCORE].idxmax()
    starts = np.flatnonzero(curves["phase"].to_numpy()[1:] != curves["phase"].to_numpy()[:-1]) + 1
    for axes, (name, columns) in zip(
        figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels.items(), strict=True
    ):
        for index, (column, label) in enumerate(columns):
            style = "-" if label == "training" else "--"
            axes.plot(epochs, curves[column], style, color=COLOURS[index], linewidth=1.6, label=label, marker=".")
            if label != "training":
                axes.plot(epochs[kept], curves[column].iloc[kept], "o", color=COLOURS[index], markersize=6)
        for start in starts:
            axes.axvline(start + 0.5, color="#999999", linewidth=0.8, linestyle=":")
        axes.set(xlabel="Epoch", **({} if name == "Loss" else {"ylim": (-0.02, 1.02)}))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(name, fontsize=11, loc="left")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8.5, loc="best")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.supxlabel(
        "Dots: the epoch that each phase kept; dotted: a new phase. Training images are varied, weighted and without "
        "their share of dropped nodes, so that the\ncourse of two curves compares, not their height; validation is of "
        f"all sources pooled. {RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def write_curves(work: Path, title: str, out: Path) -> dict[str, tuple[Path, ...]]:
    """Draw the trainings in a work folder: ``curves-classifier`` and, where there was one, ``curves-findings``.

    Parameters
    ----------
    work
        The work folder of ``cxrscreen train`` for this system.
    title
        One line above the curves.
    out
        An existing folder.

    Returns
    -------
    dict
        The files, by what was trained.

    Raises
    ------
    RecipeError
        If there are no curves.
    """
    kinds = {"findings": "pre-training on findings", "classifier": "classifier"}
    there = [kind for kind in kinds if any((work / kind).glob("phase*/metrics*.csv"))]
    if not there:
        raise RecipeError(f"{work.name} holds no curves of COVID-CXNet: give the folder that --work named in training.")
    return {
        kind: write_figure(curves_figure(read_curves(work / kind), f"{title}: {kinds[kind]}"), out, f"curves-{kind}")
        for kind in there
    }


@dataclass(frozen=True)
class SharePoint:
    """Figures after learning from a share of the training images.

    Parameters
    ----------
    share
        In (0, 1].
    pooled
        Of the test images.
    within
        By source; see :class:`cxrscreen.evaluate.reproduce.covid_cxnet.measure.Measured`.
    within_of
        Which images these are.
    """

    share: float
    pooled: Mapping[str, Estimate]
    within: Mapping[str, Mapping[str, Estimate]]
    within_of: str


def learning_curve(runs: CxNetRuns) -> list[SharePoint]:
    """The system's own training on smaller and smaller shares of its images."""
    points = []
    for share in runs.recipe.shares:
        found = measure(runs.outputs("own" if share == 1 else f"share-{share:g}"), CLASSES["binary"])
        points.append(SharePoint(share, found.pooled, found.within, found.within_of))
    return points


def learning_curve_table(points: Sequence[SharePoint]) -> Table:
    """The learning curve in figures."""
    lines = tuple(
        (
            f"{point.share:.0%}",
            *(percent(point.pooled.get(figure)) for figure in ("accuracy", f"f1 {NEW}", f"auc {NEW}")),
            "; ".join(f"{source} {percent(own.get(f'auc {NEW}'))}" for source, own in point.within.items()) or "-",
            point.within_of if point.within else "-",
        )
        for point in points
    )
    head = ("Training images", "Accuracy", "F1, COVID-19", "AUC, pooled", "AUC, within sources", "of")
    return Table(
        "learning-curve",
        "Accuracy by share of the training images (Figs. 11 and 12)",
        (Part("", head, lines),),
        [asdict(point) for point in points],
        differs=(*say.CURVE_DIFFERS, *say.DIFFERS),
        not_to_conclude=(*say.NOT_CONCLUDED, say.FEW_NORMAL),
        figure="learning-curve",
        system=say.SYSTEM,
        intervals=f"{say.INTERVALS} Of these shares no source is left out; leave-one-out has the system's.",
    )


def learning_curve_figure(points: Sequence[SharePoint]) -> Figure:
    """Accuracy and AUC over the share, with intervals."""
    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    places = [100 * point.share for point in points]
    sources = sorted({source for point in points for source in point.within})
    series = [(left, "accuracy, test images", [point.pooled.get("accuracy") for point in points])]
    series.append((left, "F1 of COVID-19, test images", [point.pooled.get(f"f1 {NEW}") for point in points]))
    series.append((right, "pooled, test images", [point.pooled.get(f"auc {NEW}") for point in points]))
    for source in sources:
        own = [point.within.get(source, {}).get(f"auc {NEW}") for point in points]
        series.append((right, f"within {source}, {points[0].within_of}", own))
    for index, (axes, label, estimates) in enumerate(series):
        # Beside each other, so that intervals do not hide one another.
        shifted = [place + (index % 2 - 0.5) * 1.4 for place in places]
        draw_intervals(axes, shifted, estimates, colour=COLOURS[index], label=label, line=True)
    for axes, title in ((left, "Accuracy and F1"), (right, "AUC, COVID-19 against normal")):
        axes.set_xticks(places)
        axes.set(xlabel="Share of the training images, percent", ylabel="Percent [95 % interval]")
        axes.set_title(title, fontsize=11, loc="left")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8.5, frameon=False, loc="lower right")
    footnote = f"Intervals by patient; one training for each point. {RESEARCH_USE}"
    figure.supxlabel(footnote, fontsize=7.5, color="#555555", x=0.01, ha="left")
    return figure


def training_curves(runs: CxNetRuns) -> tuple[Table, dict[str, Figure]]:
    """The curves of the five models' trainings, and what the kept epochs reached on validation images."""
    lines, content, figures = [], [], {}
    for name in DRAWN:
        curves = read_curves(runs.curves(name))
        figures[f"training-curves-{name}"] = curves_figure(curves, TITLES[name])
        best = curves.loc[curves.groupby("phase", sort=False)[SCORE].idxmax().iloc[-1]]
        known = {column: best[column] for column in COLUMNS if column in best and np.isfinite(best[column])}
        cells = (f"{known[column]:.3f}" if column in known else "-" for column in COLUMNS)
        lines.append((TITLES[name], str(len(curves)), str(int(best.name) + 1), *cells))
        kept = {column: float(value) for column, value in known.items()}
        content.append({"model": name, "epochs": len(curves), "kept": int(best.name) + 1, **kept})
    head = ("Model", "Epochs", "Kept", *COLUMNS.values())
    pictures = tuple(f"![{TITLES[name]}]({say.SYSTEM}-training-curves-{name}.png)" for name in DRAWN)
    table = Table(
        "training-curves",
        "Learning curves of the trainings (Figs. 11, 12, 14 and 16)",
        (Part("The epoch that was kept", head, tuple(lines)),),
        content,
        differs=say.DIFFERS,
        not_to_conclude=(
            "That a model which does well here is good: these are the validation images of all sources pooled, by "
            "which the epoch was chosen. They have no interval for that reason; read tables 1 to 5 and leave-one-out.",
        ),
        answer=pictures,
        system=say.SYSTEM,
        intervals="Of validation images, by which the epoch was chosen: a picture of the trainings, no measurement.",
    )
    return table, figures
