"""Fig. 12: accuracy by share of the training images, absolute and relative."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.figures import COLOURS
from cxrscreen.evaluate.reproduce.patch_voting.votes import SharePoint

_NAMES = {"local": "local approach (patches)", "global": "global approach (whole image)"}


def shares_figure(points: Sequence[SharePoint]) -> Figure:
    """Draw both approaches with intervals; left the accuracy, right its share of the accuracy with all images."""
    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, name in ((left, "accuracy"), (right, "relative")):
        for index, approach in enumerate(_NAMES):
            own = [point for point in points if point.approach == approach]
            estimates = [getattr(point, name) for point in own]
            values = [100 * (estimate.value or 0.0) for estimate in estimates]
            ends = [
                [100 * max(0.0, (e.value or 0.0) - (e.value if e.ci_low is None else e.ci_low)) for e in estimates],
                [100 * max(0.0, (e.value if e.ci_high is None else e.ci_high) - (e.value or 0.0)) for e in estimates],
            ]
            # Beside each other, so that intervals do not hide one another.
            places = [100 * point.share + (index - 0.5) * 1.2 for point in own]
            axes.errorbar(
                places,
                values,
                yerr=ends,
                color=COLOURS[index],
                marker="o",
                capsize=3,
                linewidth=1.6,
                label=_NAMES[approach],
            )
        axes.set_xticks([100 * share for share in sorted({point.share for point in points})])
        axes.set(xlabel="Share of the training images, percent")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_title("Accuracy of the four classes, test part", fontsize=11, loc="left")
    left.set_ylabel("Accuracy in percent [95 % interval]")
    right.set_title("Relative to all training images", fontsize=11, loc="left")
    right.set_ylabel("Percent of that accuracy [95 % interval]")
    right.axhline(100, color="#999999", linewidth=0.8, linestyle=":")
    left.legend(fontsize=9, frameon=False, loc="lower right")
    figure.supxlabel(
        f"Intervals by patient; one training for each point. {RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure
