"""The figures of the lambda sweep, of the learning curve and of the sources that were left out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.figures import COLOURS
from cxrscreen.evaluate.forgetting import TOLERATED
from cxrscreen.evaluate.reproduce.incremental import FOUND, OLD, OWN, Point, Way
from cxrscreen.evaluate.reproduce.left_out import GOAL, LeftOut


def sweep_figure(found: Mapping[str, Way]) -> Figure:
    """Change of stage 2's AUC by way of fine-tuning: on the old images, and on the new ones."""
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    ways = list(found)
    for axes, names, title in ((left, (OLD,), "Forgotten"), (right, (OWN, FOUND), "Learned")):
        for index, name in enumerate(names):
            colour = COLOURS[index if axes is right else 2]
            shift = (index - (len(names) - 1) / 2) * 0.24
            for place, way in enumerate(ways):
                each = found[way].changes[name]
                if each is None:
                    continue
                for kind, offset, marker in (("pooled", 0.0, "o"), ("within", 0.12, "D")):
                    estimates = each.pooled if kind == "pooled" else each.within
                    # Within one source both are the same figure.
                    if "change" in estimates and not (kind == "within" and len(each.sources) < 2):
                        _dot(axes, estimates["change"], place + shift + offset, colour, marker)
                axes.plot(
                    [place + shift - 0.08] * len(each.by_tuning), np.multiply(each.by_tuning, 100), "_", color="#555555"
                )
            axes.plot([], [], "o", color=colour, label=name)
        axes.axhline(0, color="#999999", linewidth=0.8)
        axes.set_xticks(range(len(ways)), [way.replace("new images alone", "new images\nalone") for way in ways])
        axes.set_title(f"{title}: change of stage 2's AUC", fontsize=11, loc="left")
        axes.set_ylabel("Percentage points [95 % interval]")
        _finish(axes)
    left.axhline(-100 * TOLERATED, color="#999999", linewidth=0.8, linestyle=":")
    left.plot([], [], "D", color=COLOURS[2], label="the same, mean within sources")
    left.plot([], [], "_", color="#555555", label="single fine-tunings")
    left.plot([], [], ":", color="#999999", label="tolerated drop")
    for axes in (left, right):
        axes.legend(fontsize=8.5, frameon=False)
    _footnote(figure, "Test images; intervals by patient, on the mean over seeds.")
    return figure


def curve_figure(points: Sequence[Point]) -> Figure:
    """AUC of stage 3 on the clinic's test images, and its change on the open ones, over the number of cases."""
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    places = range(len(points))
    for place, point in zip(places, points, strict=True):
        if "auc" in point.clinic.pooled:
            _dot(left, point.clinic.pooled["auc"], place, COLOURS[0], "o")
        seeds = np.multiply(point.clinic.auc_by_training, 100)
        left.plot([place - 0.1] * len(seeds), seeds, "_", color="#555555")
        if point.opened is not None:
            _dot(right, point.opened.pooled["change"], place, COLOURS[2], "o")
            moved = np.multiply(point.opened.by_tuning, 100)
            right.plot([place - 0.1] * len(moved), moved, "_", color="#555555")
    counts = {(point.clinic.positives, point.clinic.negatives) for point in points}
    images = ", ".join(f"n+ {positive}, n- {negative}" for positive, negative in sorted(counts))
    left.axhline(50, color="#999999", linewidth=0.8, linestyle=":")
    left.set_title(f"Stage 3 on the clinic's test images ({images})", fontsize=11, loc="left")
    left.set_ylabel("AUC in percent [95 % interval]")
    right.axhline(0, color="#999999", linewidth=0.8)
    right.set_title("Change of its AUC on the open test images", fontsize=11, loc="left")
    right.set_ylabel("Percentage points [95 % interval]")
    for axes in (left, right):
        axes.set_xticks(places, [str(point.cases) if point.cases else "before" for point in points])
        axes.set(xlim=(-0.5, len(points) - 0.5), xlabel="Patients with COVID-19 that were learned from")
        _finish(axes)
    _footnote(figure, "Intervals by patient, on the mean over seeds; dashes: single fine-tunings.")
    return figure


def left_out_figure(found: Sequence[LeftOut]) -> Figure:
    """AUC within each source that was left out, and where it was learned from, with the goal."""
    shown = [item for item in found if "auc" in item.figures]
    figure = Figure(figsize=(max(6.0, 1.6 * len(shown) + 1.5), 4.6), layout="constrained")
    axes = figure.subplots()
    kinds = (
        ("auc", "left out, all its images"),
        ("auc_test", "left out, its test images"),
        ("auc_known", "learned from, its test images"),
        ("auc_plain", "left out, all its images, plain training"),
    )
    for index, (name, label) in enumerate(kinds):
        for place, item in enumerate(shown):
            if name in item.figures:
                _dot(axes, item.figures[name], place + 0.16 * (index - 1.5), COLOURS[index], "o")
        if any(name in item.figures for item in shown):
            axes.plot([], [], "o", color=COLOURS[index], label=label)
    axes.axhline(
        100 * GOAL.limit, color="#999999", linewidth=0.8, linestyle="--", label=f"goal, {100 * GOAL.limit:.0f}"
    )
    axes.axhline(50, color="#999999", linewidth=0.8, linestyle=":", label="chance")
    axes.set_xticks(range(len(shown)), [f"{item.source}\nstage {item.stage}" for item in shown])
    axes.set(xlim=(-0.5, max(len(shown), 1) - 0.5), ylabel="AUC in percent [95 % interval]")
    axes.set_title("Within sources that the training has not seen", fontsize=11, loc="left")
    _finish(axes)
    figure.legend(loc="outside right upper", fontsize=8.5, frameon=False)
    _footnote(figure, "Intervals by patient.")
    return figure


def _dot(axes: Axes, estimate: Estimate, place: float, colour: str, marker: str) -> None:
    if estimate.value is None:
        return
    if estimate.ci_low is not None and estimate.ci_high is not None:
        ends = [100 * estimate.ci_low, 100 * estimate.ci_high]
        axes.plot([place, place], ends, color=colour, linewidth=1.6)
    axes.plot([place], [100 * estimate.value], marker=marker, color=colour, markersize=5.5)


def _finish(axes: Axes) -> None:
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _footnote(figure: Figure, text: str) -> None:
    figure.supxlabel(f"{text} {RESEARCH_USE}", fontsize=7.5, color="#555555", x=0.01, ha="left")
