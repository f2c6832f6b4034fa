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
OLD, OWN, FOUND = "D_o: old images", "new cases, against normals of their hospital", "new cases, against old normals"
"""What stage 2 is asked in the sweep."""


@dataclass(frozen=True)
class Way:
    """One way to learn the new disease, averaged over seeds.

    Parameters
    ----------
    changes
        Of stage 2's AUC, by what is asked; None where the images hold one class only.
    before, after
        Stage 2 on :data:`FOUND`: AUC, sensitivity for the new disease, specificity on old normals.
    """

    changes: Mapping[str, Change | None]
    before: Figures
    after: Figures


@dataclass(frozen=True)
class Point:
    """One point of the learning curve.

    Parameters
    ----------
    cases
        Patients with COVID-19 that were learned from; 0: before any fine-tuning.
    clinic
        Stage 3 on the clinic's test images.
    opened
        Change of stage 3's AUC on the open test images; None before.
    """

    cases: int
    clinic: Figures
    opened: Change | None


def sweep(runs: Runs) -> dict[str, Way]:
    """Ways to learn the clinic's first cases, from a stage 2 that knows no COVID-19.

    Ways are ``"lambda X"`` in the order of the recipe, then :data:`ALONE`; each averages over the recipe's repeats.
    """
    recipe = runs.recipe
    ways: list[tuple[str, float | None]] = [(f"lambda {value:g}", value) for value in recipe.lambdas]
    questions, old = _questions(recipe.clinic), _opened(recipe.clinic)
    result = {}
    for way, weight in [*ways, (ALONE, None)]:
        folder = way.replace(" ", "-")
        tunings = [
            runs.tuned(
                Tuning(
                    f"lambda-sweep/{folder}-seed{seed}",
                    recipe.seeds[0],
                    seed,
                    weight,
                    stage="2",
                    cases=recipe.new_cases,
                    start="before",
                )
            )
            for seed in recipe.repeats
        ]
        result[way] = Way(
            {name: change(tunings, "2", chosen) for name, chosen in questions.items()},
            # Before there is one network, whose threshold no new case has chosen.
            measure(tunings[:1], "2", "test", questions[FOUND], old, moment="_before"),
            measure(tunings, "2", "test", questions[FOUND], lambda rows: rows["source"].notna(), moment="_after"),
        )
    return result


def sweep_table(found: Mapping[str, Way], cases: int) -> Table:
    """The sweep as a table; ``cases`` are the patients that were learned from."""
    parts = [
        changes_grid(f"AUC of stage 2, {name}", {way: each.changes[name] for way, each in found.items()})
        for name in (OLD, OWN, FOUND)
    ]
    return Table(
        "lambda-sweep",
        f"A new disease from its first {cases} cases: what is forgotten and what is learned, by lambda of Eq. 2",
        (_kept(found), *parts, _rates(found)),
        [
            {"way": way, "images": name, **({} if each is None else vars(each))}
            for way, of_way in found.items()
            for name, each in of_way.changes.items()
        ]
        + [
            {"way": way, "images": FOUND, "when": when, **vars(figures)}
            for way, of_way in found.items()
            for when, figures in (("before", of_way.before), ("after", of_way.after))
        ],
        differs=(*say.SWEEP_DIFFERS, *say.CLINIC, *say.ALWAYS_DIFFERS),
        not_to_conclude=(
            *say.SWEEP_CONCLUDE,
            f"That the AUC of “{FOUND}” is the skill to find the disease: its classes come from different hospitals.",
            *say.NEVER_CONCLUDE,
        ),
        figure="lambda-sweep",
        answer=sweep_answer(found),
    )


def sweep_answer(found: Mapping[str, Way]) -> tuple[str, ...]:
    """Say whether every lambda above 0 forgets at most 0.01 of AUC with every seed, and the new images alone more."""
    old = {way: each.changes[OLD] for way, each in found.items()}
    if any(each is None for each in old.values()):
        return ("Forgetting was not measured: the old test images are of one class.",)
    measured = {way: each for way, each in old.items() if each is not None}
    distilled = {way: each.worst for way, each in measured.items() if way not in (ALONE, "lambda 0")}
    alone = measured[ALONE]
    drops = ", ".join(f"{100 * value:+.2f}" for value in alone.by_tuning)
    keep = [way for way, worst in distilled.items() if worst >= -TOLERATED]
    lose = [way for way in distilled if way not in keep]
    mean = alone.pooled["change"].value or 0.0
    line = (
        f"Asked: with lambda above 0 the AUC on D_o drops by at most {100 * TOLERATED:g} point with every seed, where "
        "fine-tuning on the new images alone drops more. "
    )
    held = not lose and bool(keep) and mean < -TOLERATED
    return (
        line + ("Held." if held else "Not held."),
        f"Kept with every seed by {', '.join(keep) or 'none'}"
        + (f"; not by {', '.join(lose)}" if lose else "")
        + f". New images alone: {100 * mean:+.2f} points on average ({drops} by seed).",
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
                    stage="3",
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
        points.append(Point(count, after, change(tunings, "3", _opened(recipe.clinic))))
    return points


def curve_table(points: list[Point]) -> Table:
    """The learning curve as a table."""
    lines = []
    for point in points:
        figures = (percent(point.clinic.pooled.get(name)) for name in ("auc", "sensitivity", "specificity"))
        by_seed = ", ".join(f"{100 * value:.1f}" for value in point.clinic.auc_by_training)
        moved = None if point.opened is None else point.opened.pooled["change"]
        counts = f"{point.clinic.positives} / {point.clinic.negatives}"
        label = str(point.cases) if point.cases else "0 (before)"
        lines.append((label, *figures, by_seed, counts, percent(moved, signed=True)))
    head = (
        "Cases",
        "AUC of stage 3, clinic",
        "Sensitivity",
        "Specificity",
        "AUC by seed",
        "n+ / n-",
        "Change of its AUC on the open images",
    )
    return Table(
        "learning-curve",
        "Learning curve: cases of COVID-19 from the clinic",
        (Part("Stage 3 fine-tuned on so many cases", head, tuple(lines)),),
        [
            {
                "cases": point.cases,
                "clinic": vars(point.clinic),
                "opened": None if point.opened is None else vars(point.opened),
            }
            for point in points
        ],
        differs=(*say.CURVE_DIFFERS, *say.CLINIC, *say.ALWAYS_DIFFERS),
        not_to_conclude=(*say.CURVE_CONCLUDE, *say.NEVER_CONCLUDE),
        figure="learning-curve",
    )


def _kept(found: Mapping[str, Way]) -> Part:
    rows = []
    for way, of_way in found.items():
        each = of_way.changes[OLD]
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


def _rates(found: Mapping[str, Way]) -> Part:
    lines = []
    for way, each in found.items():
        cells = [
            percent(figures.pooled.get(name))
            for name in ("sensitivity", "specificity")
            for figures in (each.before, each.after)
        ]
        lines.append((way, *cells, f"{each.after.positives} / {each.after.negatives}"))
    head = ("Way", "Sensitivity before", "after", "Specificity before", "after", "n+ / n-")
    return Part("New cases found as pneumonia (sensitivity), old normals left alone (specificity)", head, tuple(lines))


def _questions(clinic: str) -> dict[str, Choose]:
    own, old = _clinic(clinic), _opened(clinic)
    return {
        OLD: lambda rows: old(rows) & without_covid19(rows),
        OWN: lambda rows: own(rows) & rows["label"].isin(("normal", "covid19")),
        FOUND: lambda rows: (own(rows) & ~without_covid19(rows)) | (old(rows) & (rows["label"] == "normal")),
    }


def _clinic(source: str) -> Choose:
    return lambda rows: rows["source"] == source


def _opened(clinic: str) -> Choose:
    return lambda rows: rows["source"] != clinic
