"""Leave sources out of COVID-CXNet itself: trained and pre-trained without a hospital, asked about its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.figures import COLOURS
from cxrscreen.evaluate.reproduce.covid_cxnet import wording as say
from cxrscreen.evaluate.reproduce.covid_cxnet.intervals import draw_intervals
from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import WITHOUT
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import CxNetRuns
from cxrscreen.evaluate.reproduce.left_out import GOAL, LARGEST_GAP, Arm, measure_left_out
from cxrscreen.evaluate.reproduce.table import Part, Table, percent
from cxrscreen.systems.covid_cxnet.classes import BINARY_STAGE, STAGES

QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "own": {BINARY_STAGE: "2"},
    "three": {"pneumonia": "2", "covid19": "3"},
}
"""By model its decisions, each with the cascade's stage that asks the same of the images that the model is asked about.

Among normal and COVID-19 images alone, COVID-19 against normal is the question of stage 2.
"""
_STAGE_COLUMN = {"2": "pneumonia", "3": "covid19"}
_TITLES = {**STAGES["binary"], **STAGES["three"]}


@dataclass(frozen=True)
class Unseen:
    """One decision on one source that it has never seen.

    Parameters
    ----------
    model, decision
        ``own`` or ``three``, and a decision of it.
    together
        All sources that were left out of the training.
    source
        The one that is measured.
    positives, negatives
        Its images of each class.
    figures
        See :func:`cxrscreen.evaluate.reproduce.left_out.measure_left_out`.
    """

    model: str
    decision: str
    together: tuple[str, ...]
    source: str
    positives: int
    negatives: int
    figures: Mapping[str, Estimate]


def left_out(runs: CxNetRuns) -> list[Unseen]:
    """Train both versions without each set of sources, and measure every source of the set."""
    found = []
    for model, sets in (("own", runs.recipe.left_out), ("three", runs.recipe.left_out_three)):
        known = runs.outputs(model)
        for together in sets:
            without = runs.outputs(f"{model}{WITHOUT}{'+'.join(together)}")
            for decision, stage in QUESTIONS[model].items():
                tables = [asked_as(rows, decision, stage) for rows in (without, known)]
                for source in together:
                    if (_asked(tables[0], stage)["source"] == source).any():
                        counts = measure_left_out(stage, source, Arm(tables[:1], tables[1:]))
                        found.append(Unseen(model, decision, together, source, *counts))
    return found


def asked_as(rows: pd.DataFrame, decision: str, stage: str) -> pd.DataFrame:
    """A model's answers with a decision's logits where the measures of the cascade's stages look for theirs."""
    return rows.assign(**{_STAGE_COLUMN[stage]: rows[decision]})


def left_out_table(found: Sequence[Unseen]) -> Table:
    """The sources that were left out, those with both classes first."""
    return Table(
        "leave-one-out",
        "Leave one source out: COVID-CXNet trained without a hospital",
        (_areas(found), _rates(found)),
        [vars(item) for item in found],
        differs=(*say.LEFT_OUT_DIFFERS, *say.DIFFERS),
        not_to_conclude=(*say.LEFT_OUT_CONCLUDE, say.FEW_NORMAL, *say.NOT_CONCLUDED),
        figure="leave-one-out",
        answer=tuple(_answers(found)),
        system=say.SYSTEM,
        intervals="All figures are percentages; in brackets 95 % intervals by patient (bootstrap; rates by Wilson with "
        "the sample size adjusted for patients). Thresholds are Youden's on the validation images of the sources that "
        f"were learned from, sources weighing the same. One training each. {say.PAIRED}",
    )


def left_out_figure(found: Sequence[Unseen]) -> Figure:
    """AUC within each source that was left out, and where it was learned from, with the goal."""
    shown = [item for item in found if "auc" in item.figures]
    figure = Figure(figsize=(max(6.6, 2.2 * len(shown) + 2.4), 4.6), layout="constrained")
    axes = figure.subplots()
    kinds = {"auc": "left out, all its images", "auc_test": "left out, its test images"}
    kinds["auc_known"] = "learned from, its test images"
    for index, (name, label) in enumerate(kinds.items()):
        places = [place + 0.18 * (index - 1) for place in range(len(shown))]
        estimates = [item.figures.get(name) for item in shown]
        draw_intervals(axes, places, estimates, colour=COLOURS[index], label=label, line=False)
    axes.axhline(
        100 * GOAL.limit, color="#999999", linewidth=0.8, linestyle="--", label=f"goal, {100 * GOAL.limit:.0f}"
    )
    axes.axhline(50, color="#999999", linewidth=0.8, linestyle=":", label="chance")
    names = ["\n".join((item.source, *_TITLES[item.decision].split(", "))) for item in shown]
    axes.set_xticks(range(len(shown)), names, fontsize=8.5)
    axes.set(xlim=(-0.5, max(len(shown), 1) - 0.5), ylabel="AUC in percent [95 % interval]")
    axes.set_title("Within sources that the training has not seen", fontsize=11, loc="left")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize=8.5, frameon=False)
    figure.supxlabel(f"Intervals by patient. {RESEARCH_USE}", fontsize=7.5, color="#555555", x=0.01, ha="left")
    return figure


def _asked(rows: pd.DataFrame, stage: str) -> pd.DataFrame:
    # The question of stage 3 is not put to normal images.
    return rows[rows["truth"] != "normal"] if stage == "3" else rows


def _answers(found: Sequence[Unseen]) -> list[str]:
    sentences = [
        f"Goals: an AUC of at least {100 * GOAL.limit:.0f} on a source that was left out, and at most "
        f"{100 * LARGEST_GAP.limit:.0f} points below that of all sources pooled."
    ]
    for item in (item for item in found if "auc" in item.figures):
        area, gap = item.figures["auc"], item.figures.get("gap")
        sentences.append(
            f"{_TITLES[item.decision]}, {item.source}: AUC {percent(area)}, {GOAL.verdict(area)}; gap "
            f"{percent(gap, signed=True)}, {LARGEST_GAP.verdict(gap)}."
        )
    return sentences


def _areas(found: Sequence[Unseen]) -> Part:
    lines = tuple(
        (
            _TITLES[item.decision],
            " + ".join(item.together),
            item.source,
            *(percent(item.figures.get(name)) for name in ("auc", "auc_test", "auc_known")),
            percent(item.figures.get("loss"), signed=True),
            percent(item.figures.get("pooled")),
            percent(item.figures.get("gap"), signed=True),
            f"{item.positives} / {item.negatives}",
        )
        for item in found
        if "auc" in item.figures
    )
    head = (
        "Decision",
        "Left out",
        "Source",
        "AUC, all its images",
        "AUC, its test images",
        "The same where learned from",
        "Loss on these",
        "All sources pooled, all learned from",
        "Gap to pooled",
        "n+ / n-",
    )
    return Part("Within sources that hold both classes", head, lines)


def _rates(found: Sequence[Unseen]) -> Part:
    lines = tuple(
        (
            _TITLES[item.decision],
            " + ".join(item.together),
            item.source,
            name.capitalize(),
            *(percent(item.figures.get(f"{name}{suffix}")) for suffix in ("", "_test", "_known")),
            str(item.positives if name == "sensitivity" else item.negatives),
        )
        for item in found
        for name in ("sensitivity", "specificity")
        if name in item.figures
    )
    head = ("Decision", "Left out", "Source", "Figure", "All its images", "Its test images", "Where learned from", "n")
    return Part("At the threshold chosen on the validation images of the other sources", head, lines)
