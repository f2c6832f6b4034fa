"""Fig. 8: how much the sensitivity at 99 % specificity changes with the initialisation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import RecipeError
from cxrscreen.evaluate.figures import COLOURS
from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS
from cxrscreen.evaluate.reproduce.comit_net.recipe import Variants
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.table import Part, Table
from cxrscreen.evaluate.screening_points import screening_points
from cxrscreen.evaluate.stability import Spread, spread_over_trainings

FIGURE = "sensitivity_0.99"
WIDEST = 60
"""Points to which deviations are drawn: three shares of 0 and 1 deviate by no more."""
TOO_FEW = "Fig. 8 needs several trainings: give the recipe at least two seeds, the paper has three."


@dataclass(frozen=True)
class VariantSpread:
    """The sensitivity at 99 % specificity of a variant over its trainings."""

    variant: str
    spread: Spread


def enough_seeds(variants: Variants) -> bool:
    """Whether a recipe trains often enough for a deviation."""
    return len(variants.seeds()) > 1


def spreads(runs: ComitRuns) -> tuple[VariantSpread, ...]:
    """Measure every variant of Table 4.

    Raises
    ------
    RecipeError
        If the recipe has one seed only.
    """
    if not enough_seeds(runs.variants):
        raise RecipeError(TOO_FEW)
    names = (*runs.variants.of_kind("classifier"), *runs.variants.on_embedding, ALL_TASKS)
    found = []
    for name in names:
        points = screening_points(runs.trainings(name, "test"), replicates=1)
        found.append(VariantSpread(name, spread_over_trainings(points.by_training[FIGURE])))
    return tuple(found)


def figure8_skipped() -> Table:
    """The page of a recipe with one seed: a sentence in place of Fig. 8."""
    return Table(
        "figure8", "Fig. 8: not made", (), [], answer=(TOO_FEW,), system=say.SYSTEM, intervals=say.SPREAD_INTERVALS
    )


def figure8_table(found: Sequence[VariantSpread]) -> Table:
    """Fig. 8 in figures."""
    rows = tuple(
        (
            say.VARIANTS[each.variant],
            f"{100 * each.spread.mean:.1f}",
            _deviation(each.spread),
            ", ".join(f"{100 * value:.1f}" for value in each.spread.values),
        )
        for each in found
    )
    return Table(
        "figure8",
        "Fig. 8: stability of the sensitivity over initialisations",
        (Part("", ("Variant", "Mean", "Standard deviation [95 %]", "Each training"), rows),),
        [asdict(each) for each in found],
        differs=(*say.CLASSIFIERS_DIFFER, *say.DIFFERS, "The paper draws its deviations without printing them."),
        not_to_conclude=(*say.SPREAD_CONCLUDED, *say.NOT_CONCLUDED),
        figure="figure8",
        system=say.SYSTEM,
        intervals=say.SPREAD_INTERVALS,
    )


def spread_figure(found: Sequence[VariantSpread]) -> Figure:
    """Draw the sensitivity of each training over the standard deviations with their intervals."""
    figure = Figure(figsize=(9.6, 1.9 + 0.42 * len(found)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, each in enumerate(reversed(found)):
        spread, colour = each.spread, COLOURS[1 if each.variant == ALL_TASKS else 0]
        left.plot([100 * value for value in spread.values], [place] * len(spread.values), "o", color=colour, alpha=0.7)
        left.plot(100 * spread.mean, place, "|", color="#222222", markersize=14)
        if spread.deviation is not None and spread.low is not None and spread.high is not None:
            right.barh(place, 100 * spread.deviation, color=colour, height=0.6, alpha=0.8)
            right.plot([100 * spread.low, 100 * spread.high], [place, place], color="#222222", linewidth=1.2)
    left.set_yticks(range(len(found)), [say.VARIANTS[each.variant] for each in reversed(found)])
    left.set_title("Sensitivity at 99 % specificity", fontsize=11, loc="left")
    left.set(xlim=(-2, 102), xlabel="Percent; dot: a training, bar: mean")
    right.set_title("Its standard deviation", fontsize=11, loc="left")
    right.set(xlim=(0, WIDEST), xlabel="Points; line: 95 % interval")
    for axes in (left, right):
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    count = len(found[0].spread.values)
    figure.supxlabel(
        f"{count} trainings for each variant; an interval of a deviation over so few is wide, and may go on beyond the "
        f"picture.\n{RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def _deviation(spread: Spread) -> str:
    if spread.deviation is None or spread.low is None or spread.high is None:
        return "-"
    return f"{100 * spread.deviation:.1f} [{100 * spread.low:.1f}, {100 * spread.high:.1f}]"
