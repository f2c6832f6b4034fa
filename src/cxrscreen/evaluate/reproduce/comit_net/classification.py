"""Tables 4 and 5: COVID-19 or not, by COMiT-Net, its comparators, and its combinations of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.goal import Goal
from cxrscreen.evaluate.metrics import auc
from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.all_decisions import called_unhealthy, decisions, decisions_part, misprints
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS, TASK_4_ALONE, in_words
from cxrscreen.evaluate.reproduce.comit_net.paper import CALLED_AT_90, PRECISION_99, TABLE4, TABLE5
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.paper import Printed
from cxrscreen.evaluate.reproduce.table import Part, Table, as_printed, percent, printed_values, recomputed
from cxrscreen.evaluate.screening_points import (
    POINTS,
    Carried,
    ScreeningPoints,
    carried_over,
    compare_points,
    screening_points,
)

GOALS: Mapping[str, Goal] = {
    "sensitivity_0.90": Goal(0.968),
    "sensitivity_0.99": Goal(0.872),
    "equal_error_rate": Goal(0.073, at_least=False),
}
"""The paper's own figures; see :data:`~cxrscreen.evaluate.screening_points.POINTS`."""
SHOWN_5 = ("sensitivity_0.90", "auc")


@dataclass(frozen=True)
class Measured:
    """One variant.

    Parameters
    ----------
    variant
        Its name.
    test
        On the test part of all sources.
    never
        On the sources that a training did without; None where the recipe leaves none out.
    carried
        At thresholds of the validation part, on the test part.
    changes, never_changes
        Less the variant that is compared with, by figure; empty for that one.
    """

    variant: str
    test: ScreeningPoints
    never: ScreeningPoints | None
    carried: tuple[Carried, ...]
    changes: Mapping[str, Estimate] = field(default_factory=dict)
    never_changes: Mapping[str, Estimate] = field(default_factory=dict)


def table4(runs: ComitRuns) -> Table:
    """COMiT-Net against other networks and against classifiers on its embedding, and its other two decisions."""
    variants = [*runs.variants.of_kind("classifier"), *runs.variants.on_embedding]
    own = measured(runs, ALL_TASKS)
    found = [*(measured(runs, variant, ALL_TASKS) for variant in variants), own]
    lacking = {name: "" for name in TABLE4 if name not in {each.variant for each in found}}
    remarks = (
        f"At 99 % specificity {PRECISION_99[0]} of {PRECISION_99[1]} called images have COVID-19 (precision 64.1); at "
        f"90 % it would be {CALLED_AT_90[0]} of {CALLED_AT_90[1]}, a precision of "
        f"{100 * CALLED_AT_90[0] / CALLED_AT_90[1]:.0f} that the paper does not print.",
    )
    table = _table(
        "table4",
        "Table 4: COVID-19 at a fixed specificity, COMiT-Net and others",
        found,
        {each.variant: TABLE4.get(each.variant, {}) for each in found},
        tuple(POINTS),
        against=say.VARIANTS[ALL_TASKS],
        answer=(*goal_sentences(own), *runs.variants.seeds_never_trained_on()),
        remarks=(*remarks, *misprints()),
        differs=(*say.not_in_recipe(lacking), *say.CLASSIFIERS_DIFFER, *say.OTHER_DIFFERS, *say.DIFFERS),
        source_notes=source_notes(runs),
    )
    found_of_all, unhealthy = decisions(runs), called_unhealthy(runs)
    of_own = {"decisions": found_of_all, "covid19_called_unhealthy": unhealthy}
    return replace(
        table,
        parts=(*table.parts, decisions_part(found_of_all, unhealthy)),
        content=[*table.content[:-1], {**table.content[-1], **of_own}],
    )


def table5(runs: ComitRuns) -> Table:
    """What each combination of tasks is worth."""
    names = runs.variants.settings.combinations
    found = [measured(runs, name, None if name == ALL_TASKS else ALL_TASKS) for name in names]
    printed = {name: {"sensitivity_0.90": TABLE5[name]} if name in TABLE5 else {} for name in names}
    return _table(
        "table5",
        "Table 5: combinations of tasks",
        found,
        printed,
        SHOWN_5,
        against=in_words(ALL_TASKS).lower(),
        answer=(*all_tasks_answer(runs), *runs.variants.seeds_never_trained_on()),
        source_notes=source_notes(runs),
        differs=(*say.TASKS_DIFFER, *say.DIFFERS),
        remarks=say.SPECIFICITY_UNNAMED,
        words={name: in_words(name) for name in names},
    )


def measured(runs: ComitRuns, variant: str, against: str | None = None) -> Measured:
    """Measure a variant, and the difference from another one (this less the other)."""
    tests, never = runs.trainings(variant, "test"), runs.left_out(variant)
    changes: Mapping[str, Estimate] = {}
    never_changes: Mapping[str, Estimate] = {}
    if against is not None:
        changes = compare_points(runs.trainings(against, "test"), tests)
        never_changes = compare_points(runs.left_out(against), never) if never else {}
    return Measured(
        variant,
        screening_points(tests),
        screening_points(never) if never else None,
        carried_over(runs.trainings(variant, "validation"), tests),
        changes,
        never_changes,
    )


def all_tasks_answer(runs: ComitRuns) -> tuple[str, ...]:
    """Say whether all four tasks, and the images they bring, beat the fourth alone on sources never trained on."""
    alone, everything = (runs.left_out(name) for name in (TASK_4_ALONE, ALL_TASKS))
    if not alone:
        return ("All four tasks against task 4 alone on sources never trained on: not measured, none was left out.",)
    changes = compare_points(alone, everything)
    sources = ", ".join(screening_points(everything).sources)
    sentences = []
    for name in SHOWN_5:
        change = changes.get(f"within {name}")
        if change is None or change.value is None:
            sentences.append(
                f"{POINTS[name]}: not measured, no source that was left out holds 5 images of either class."
            )
        else:
            sentences.append(
                f"On sources never trained on ({sources}), {_lower(POINTS[name])}: learning all four tasks "
                f"{_verdict(change)} task 4 alone, by {percent(change, signed=True)} points."
            )
    return (*sentences, "All four tasks also bring images that task 4 alone does not see: this compares both at once.")


def goal_sentences(own: Measured) -> list[str]:
    """Say of the paper's figures as goals whether they are held, pooled and not."""
    sentences = []
    for name, goal in GOALS.items():
        never = None if own.never is None else own.never.within.get(name)
        places = (
            ("pooled", own.test.pooled.get(name)),
            (f"within {', '.join(own.test.sources) or 'sources'}", own.test.within.get(name)),
            (f"never trained on {', '.join(own.never.sources) if own.never else ''}".strip(), never),
        )
        said = "; ".join(f"{place}: {percent(estimate)}, {goal.verdict(estimate)}" for place, estimate in places)
        word = "at least" if goal.at_least else "at most"
        sentences.append(f"{POINTS[name]}, goal {word} {100 * goal.limit:.1f}: {said}.")
    return sentences


def source_notes(runs: ComitRuns) -> tuple[str, ...]:
    """What a reader reaches who sees the name of the source alone, and knows it from the validation images."""
    known, tested = runs.trainings(ALL_TASKS, "validation")[0], runs.trainings(ALL_TASKS, "test")[0]
    share = known.groupby("source")["truth"].mean()
    given = tested["source"].map(share).fillna(float(known["truth"].mean()))
    return (
        "Test part, pooled: a reader who sees only the name of the source reaches an AUC of "
        f"{100 * auc(tested['truth'], given):.1f}; a pooled figure near it proves nothing.",
    )


def _verdict(change: Estimate) -> str:
    if change.ci_low is None or change.ci_high is None:
        return "cannot be compared with"
    if change.ci_low > 0:
        return "beats"
    if change.ci_high < 0:
        return "is beaten by"
    return "does not beat (the interval holds 0)"


def _table(
    name: str,
    title: str,
    found: Sequence[Measured],
    printed: Mapping[str, Mapping[str, Printed]],
    shown: Sequence[str],
    *,
    against: str,
    answer: tuple[str, ...],
    source_notes: tuple[str, ...],
    remarks: tuple[str, ...] = (),
    differs: tuple[str, ...] = say.DIFFERS,
    words: Mapping[str, str] = say.VARIANTS,
) -> Table:
    rows, carried = [], []
    for each in found:
        word = words.get(each.variant, each.variant)
        never = None if each.never is None else each.never.within
        for figure in shown:
            said = printed[each.variant].get(figure, Printed(None))
            rows.append(
                (
                    word,
                    POINTS[figure],
                    as_printed(said),
                    recomputed(said),
                    percent(each.test.pooled.get(figure)),
                    percent(each.test.within.get(figure)),
                    percent(None if never is None else never.get(figure)),
                    percent(each.changes.get(figure), signed=True),
                    percent(each.never_changes.get(f"within {figure}"), signed=True),
                    f"{each.test.positives} / {each.test.negatives}",
                )
            )
        carried += [
            (
                word,
                f"{100 * float(each_point.specificity):.0f} %",
                percent(each_point.sensitivity),
                percent(each_point.reached),
            )
            for each_point in each.carried
        ]
    marked = tuple(
        dict.fromkeys(
            f"{words.get(variant, variant)}: {each.remark}."
            for variant, figures in printed.items()
            for each in figures.values()
            if each.remark
        )
    )
    parts = (
        Part(
            "",
            ("Variant", *say.HEAD, f"Less {against}, pooled", f"Less {against}, never trained on", "n+ / n-"),
            tuple(rows),
        ),
        Part(
            "At thresholds that the validation images gave, test part",
            ("Variant", "Specificity asked for", "Sensitivity", "Specificity reached"),
            tuple(carried),
        ),
    )
    return Table(
        name,
        title,
        parts,
        [_plain(each, printed[each.variant]) for each in found],
        remarks=(*marked, *remarks),
        source_notes=source_notes,
        differs=differs,
        not_to_conclude=(*say.NOT_CONCLUDED, say.FEW_NEGATIVES),
        answer=(*answer, *_which_sources(found[0])),
        system=say.SYSTEM,
        intervals=say.INTERVALS,
    )


def _which_sources(first: Measured) -> tuple[str, ...]:
    within = ", ".join(first.test.sources)
    notes = [
        f"Within sources counts {within}." if within else "No source of the test part holds 5 images of either class."
    ]
    if first.never is not None:
        named = ", ".join(first.never.sources)
        notes.append(
            f"Never trained on: {first.never.positives} positive and {first.never.negatives} negative images; "
            + (f"both classes are in {named}." if named else "no source among them holds 5 images of either class.")
        )
    return tuple(notes)


def _plain(each: Measured, printed: Mapping[str, Printed]) -> dict[str, Any]:
    return {
        **{name: value for name, value in vars(each).items() if name not in {"test", "never", "carried"}},
        "test": asdict(each.test),
        "never": None if each.never is None else asdict(each.never),
        "carried": [asdict(point) for point in each.carried],
        "printed": {name: printed_values(value) for name, value in printed.items()},
    }


def _lower(text: str) -> str:
    return text if text.isupper() else text[0].lower() + text[1:]
