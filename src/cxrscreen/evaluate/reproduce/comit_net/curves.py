"""Fig. 9: ROC curves of COVID-19 against everything else, of networks and of classifiers on the embedding."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.figures import COLOURS
from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.table import Part, Table, percent
from cxrscreen.evaluate.screening_points import screening_points

_GRID = np.linspace(0.0, 1.0, 201)
TEST = "test part, all sources"


@dataclass(frozen=True)
class Curve:
    """One variant on one set of images.

    Parameters
    ----------
    variant
        Its name.
    images
        The set in words.
    tables
        Scores of each training.
    auc
        Mean over the trainings.
    """

    variant: str
    images: str
    tables: Sequence[pd.DataFrame]
    auc: Estimate


def curves(runs: ComitRuns) -> dict[str, list[Curve]]:
    """Curves by set: of the test part, and of each source that was left out and holds both classes."""
    found: dict[str, list[Curve]] = {}
    for variant in (*runs.variants.of_kind("classifier"), *runs.variants.on_embedding, ALL_TASKS):
        sets: dict[str, list[pd.DataFrame]] = {TEST: runs.trainings(variant, "test")}
        never = runs.left_out(variant)
        for source in screening_points(never, replicates=1).sources if never else ():
            sets[f"{source}, never trained on"] = [table[table["source"] == source] for table in never]
        for name, tables in sets.items():
            area = screening_points(tables).pooled.get("auc")
            if area is not None:
                found.setdefault(name, []).append(Curve(variant, name, tables, area))
    return found


def figure9_table(found: Mapping[str, Sequence[Curve]]) -> Table:
    """The areas under the curves."""
    rows = tuple(
        (name, say.VARIANTS[each.variant], percent(each.auc), f"{_count(each, 1)} / {_count(each, 0)}")
        for name, own in found.items()
        for each in own
    )
    content = [
        {"images": name, "variant": each.variant, "auc": asdict(each.auc)}
        for name, own in found.items()
        for each in own
    ]
    return Table(
        "figure9",
        "Fig. 9: ROC curves",
        (Part("", ("Images", "Variant", "AUC", "n+ / n-"), rows),),
        content,
        differs=(*say.CLASSIFIERS_DIFFER, *say.DIFFERS, "The paper prints no areas beside its curves."),
        not_to_conclude=say.NOT_CONCLUDED,
        figure="figure9",
        system=say.SYSTEM,
        intervals=say.INTERVALS,
    )


def curves_figure(found: Mapping[str, Sequence[Curve]], on_embedding: Sequence[str]) -> Figure:
    """Draw (a) networks and (b) classifiers on the embedding, a row for each set of images.

    Parameters
    ----------
    found
        From :func:`curves`.
    on_embedding
        Variants of (b); COMiT-Net is in both.
    """
    figure = Figure(figsize=(11.5, 4.6 * len(found)), layout="constrained")
    grid = figure.subplots(len(found), 2, squeeze=False)
    for row, (name, own) in zip(grid, found.items(), strict=True):
        for axes, title, here in (
            (row[0], "(a) networks", [each for each in own if each.variant not in on_embedding]),
            (row[1], "(b) embedding", [each for each in own if each.variant in (*on_embedding, ALL_TASKS)]),
        ):
            _draw(axes, here)
            axes.set_title(f"{title}: {name}", fontsize=10.5, loc="left")
    figure.supxlabel(
        "AUC with its 95 % interval by patient; several trainings are averaged at equal specificity. A pooled curve "
        f"also measures how well sources are told apart.\n{RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def _draw(axes: Axes, own: Sequence[Curve]) -> None:
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (1, 3)))
    for index, each in enumerate(own):
        last = each.variant == ALL_TASKS
        axes.plot(
            _GRID,
            _mean_curve(each.tables),
            color="#222222" if last else COLOURS[index % len(COLOURS)],
            linewidth=2.4 if last else 1.5,
            linestyle="-" if last or index < 4 else "--",
            label=f"{say.VARIANTS[each.variant]}  {percent(each.auc)}",
        )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel="1 - specificity", ylabel="Sensitivity")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", fontsize=7.5, framealpha=0.85, title="AUC in percent", title_fontsize=7.5)


def _mean_curve(tables: Sequence[pd.DataFrame]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    each = []
    for table in tables:
        fpr, tpr, _ = roc_curve(table["truth"], table["score"], drop_intermediate=False)
        # Of several points over one place NumPy takes the last, which is the highest.
        each.append(np.interp(_GRID, fpr, tpr))
    mean: np.ndarray[tuple[int], np.dtype[np.float64]] = np.mean(each, axis=0)
    return mean


def _count(each: Curve, truth: int) -> int:
    return int((each.tables[0]["truth"] == truth).sum())
