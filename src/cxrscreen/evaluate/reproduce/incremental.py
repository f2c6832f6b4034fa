"""The claim behind Eq. 2, measured: a sweep of lambda with several seeds, and a learning curve over cases."""

from collections.abc import Mapping
from dataclasses import dataclass

from cxrscreen.evaluate.forgetting import TOLERATED
from cxrscreen.evaluate.reproduce import wording as say
from cxrscreen.evaluate.reproduce.cascade import changes_grid, without_covid19
from cxrscreen.evaluate.reproduce.change import Change, change
from cxrscreen.evaluate.reproduce.measure import Choose, Figures, measure
from cxrscreen.evaluate.reproduce.runs import Runs, Tuning
from cxrscreen.evaluate.reproduce.table import Part, Table, percent

ALONE = "new images alone"
OLD, CLINIC, FOUND = "D_o: old images without COVID-19", "clinic's images", "clinic's COVID-19, against old normals"
"""What stage 2 is asked in the sweep."""


@dataclass(frozen=True)
class Point:
    """One point of the learning curve.

    Parameters
    ----------
    cases
        Patients with COVID-19 that were learned from; 0: before any fine-tuning.
    stage3
        Stage 3 on the clinic's test images.
    forgetting
        Change of stage 2's AUC on D_o; None before.
    """

    cases: int
    stage3: Figures
    forgetting: Change | None


def sweep(runs: Runs) -> dict[str, dict[str, Change | None]]:
    """Changes of stage 2's AUC, by way of fine-tuning and by images.

    Ways are ``"lambda X"`` in the order of the recipe, then :data:`ALONE`; each averages over the recipe's repeats.
    """
    recipe = runs.recipe
    ways: list[tuple[str, float | None]] = [(f"lambda {value:g}", value) for value in recipe.lambdas]
    result = {}
    for way, weight in [*ways, (ALONE, None)]:
        folder = way.replace(" ", "-")
        tunings = [
            runs.tuned(Tuning(f"lambda-sweep/{folder}-seed{seed}", recipe.seeds[0], seed, weight, stage="2"))
            for seed in recipe.repeats
        ]
        result[way] = {name: change(tunings, "2", chosen) for name, chosen in _questions(recipe.clinic).items()}
    return result


def sweep_table(found: Mapping[str, Mapping[str, Change | None]]) -> Table:
    """The sweep as a table."""
    parts = [
        changes_grid(f"AUC of stage 2, {name}", {way: changes[name] for way, changes in found.items()})
        for name in (OLD, CLINIC, FOUND)
    ]
    content = [
        {"way": way, "images": name, **({} if each is None else vars(each))}
        for way, changes in found.items()
        for name, each in changes.items()
    ]
    return Table(
        "lambda-sweep",
        "Lambda of Eq. 2: what is forgotten and what is learned",
        (_verdict({way: changes[OLD] for way, changes in found.items()}), *parts),
        content,
        differs=(*say.SWEEP_DIFFERS, *say.CLINIC, *say.ALWAYS_DIFFERS),
        not_to_conclude=(
            *say.SWEEP_CONCLUDE,
            f"That the AUC of “{FOUND}” is the skill to find the disease: its classes come from different hospitals.",
            *say.NEVER_CONCLUDE,
        ),
        figure="lambda-sweep",
    )


def curve(runs: Runs) -> list[Point]:
    """Points of the learning curve: none, the recipe's cases as far as there are so many, and all."""
    recipe, most = runs.recipe, runs.cases()
    clinic = _clinic(recipe.clinic)
    counts = [count for count in recipe.cases if count < most]
    points: list[Point] = []
    for count in [*counts, most]:
        tunings = [
            runs.tuned(
                Tuning(
                    f"learning-curve/cases{count}-seed{seed}",
                    recipe.seeds[0],
                    seed,
                    recipe.adapt.distillation,
                    cases=count,
                )
            )
            for seed in recipe.repeats
        ]
        if not points:
            # Before there is one network, whatever the seed of what follows.
            before = measure(tunings[:1], "3", "test", clinic, clinic, moment="_before")
            points.append(Point(0, before, None))
        after = measure(tunings, "3", "test", clinic, clinic, moment="_after")
        points.append(Point(count, after, change(tunings, "2", _questions(recipe.clinic)[OLD])))
    return points


def curve_table(points: list[Point]) -> Table:
    """The learning curve as a table."""
    lines = []
    for point in points:
        figures = (percent(point.stage3.pooled.get(name)) for name in ("auc", "sensitivity", "specificity"))
        by_seed = ", ".join(f"{100 * value:.1f}" for value in point.stage3.auc_by_training)
        forgotten = None if point.forgetting is None else point.forgetting.pooled["change"]
        inside = None if point.forgetting is None else point.forgetting.within.get("change")
        counts = f"{point.stage3.positives} / {point.stage3.negatives}"
        cells = (by_seed, counts, percent(forgotten, signed=True), percent(inside, signed=True))
        lines.append((str(point.cases) if point.cases else "0 (before)", *figures, *cells))
    head = (
        "Cases",
        "AUC of stage 3, clinic",
        "Sensitivity",
        "Specificity",
        "AUC by seed",
        "n+ / n-",
        "Change of stage 2's AUC on D_o",
        "The same within sources",
    )
    return Table(
        "learning-curve",
        "Learning curve: cases of COVID-19 from the clinic",
        (Part("Fine-tuned on so many cases", head, tuple(lines)),),
        [
            {
                "cases": point.cases,
                "stage3": vars(point.stage3),
                "forgetting": None if point.forgetting is None else vars(point.forgetting),
            }
            for point in points
        ],
        differs=(*say.CURVE_DIFFERS, *say.CLINIC, *say.ALWAYS_DIFFERS),
        not_to_conclude=(*say.CURVE_CONCLUDE, *say.NEVER_CONCLUDE),
        figure="learning-curve",
    )


def _verdict(old: Mapping[str, Change | None]) -> Part:
    rows = []
    for way, each in old.items():
        if each is None:
            rows.append((way, "-", "not measured: one class only"))
        else:
            kept = each.worst >= -TOLERATED
            rows.append((way, f"{100 * each.worst:+.2f}", "yes" if kept else "no"))
    return Part(
        f"Is the drop of stage 2's AUC on D_o at most {100 * TOLERATED:.1f} with every seed?",
        ("Way", "Worst change", "Kept"),
        tuple(rows),
    )


def _questions(clinic: str) -> dict[str, Choose]:
    own = _clinic(clinic)
    return {
        OLD: lambda rows: ~own(rows) & without_covid19(rows),
        CLINIC: own,
        FOUND: lambda rows: (own(rows) & (rows["label"] == "covid19")) | (~own(rows) & (rows["label"] == "normal")),
    }


def _clinic(source: str) -> Choose:
    return lambda rows: rows["source"] == source
