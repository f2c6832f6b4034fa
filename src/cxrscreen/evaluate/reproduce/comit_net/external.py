"""Sources that a training did without: the paper's section 4.4, with negatives."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.classification import all_tasks_answer
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS, TASK_4_ALONE, in_words
from cxrscreen.evaluate.reproduce.comit_net.paper import EXTERNAL
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.paper import Printed
from cxrscreen.evaluate.reproduce.table import Part, Table, as_printed, percent, recomputed
from cxrscreen.evaluate.screening_points import POINTS, carried_over, compare_points, screening_points
from cxrscreen.systems.comit_net.answers import LEFT_OUT

VARIANTS = (ALL_TASKS, TASK_4_ALONE)
AT = "0.90"
"""Specificity whose threshold is carried over, as in the paper."""


def external_table(runs: ComitRuns) -> Table:
    """Every source that was left out, at the threshold of the sources that were not, and sets of them together."""
    rates: list[tuple[str, ...]] = []
    together_rows: list[tuple[str, ...]] = []
    content: list[dict[str, Any]] = []
    for together in runs.variants.settings.left_out:
        name = " + ".join(together)
        for variant in VARIANTS:
            for source in together:
                row, plain = _source(runs, variant, together, source)
                rates += row
                content += plain
            points = screening_points(_tables(runs, variant, together))
            other = _tables(runs, TASK_4_ALONE, together)
            changes = compare_points(other, _tables(runs, variant, together)) if variant == ALL_TASKS else {}
            for figure in POINTS:
                together_rows.append(
                    (
                        name,
                        in_words(variant),
                        POINTS[figure],
                        percent(points.pooled.get(figure)),
                        percent(points.within.get(figure)),
                        percent(changes.get(figure), signed=True),
                        percent(changes.get(f"within {figure}"), signed=True),
                        f"{points.positives} / {points.negatives}",
                    )
                )
            content.append({"left_out": together, "variant": variant, "points": asdict(points), "changes": changes})
    printed = tuple((say.SOURCES[source], as_printed(said), recomputed(said)) for source, said in EXTERNAL.items())
    parts = (
        Part("Printed: COVID-19 images alone", ("Source", "Sensitivity", "Recomputed from counts"), printed),
        Part(
            "At the threshold of 90 % specificity on the validation images of the sources that were learned from",
            ("Left out", "Source", "Variant", "Printed", "Sensitivity", "Specificity", "n+ / n-"),
            tuple(rates),
        ),
        Part(
            "With the threshold read off the images that were left out",
            (
                "Left out",
                "Variant",
                "Figure",
                "All of them pooled",
                "Within sources",
                "All tasks less task 4, pooled",
                "All tasks less task 4, within sources",
                "n+ / n-",
            ),
            tuple(together_rows),
        ),
    )
    return Table(
        "external",
        "External test: sources never trained on",
        parts,
        content,
        differs=(*say.EXTERNAL_DIFFERS, *say.TASKS_DIFFER, *say.DIFFERS),
        not_to_conclude=(*say.EXTERNAL_CONCLUDED, *say.NOT_CONCLUDED),
        answer=all_tasks_answer(runs),
        system=say.SYSTEM,
        intervals=say.INTERVALS,
    )


def _tables(runs: ComitRuns, variant: str, together: tuple[str, ...], part: str = LEFT_OUT) -> list[pd.DataFrame]:
    return [runs.scores(variant, seed, part, together) for seed in runs.variants.seeds(left_out=True)]


def _source(
    runs: ComitRuns, variant: str, together: tuple[str, ...], source: str
) -> tuple[list[tuple[str, ...]], list[dict[str, Any]]]:
    own = [table[table["source"] == source] for table in _tables(runs, variant, together)]
    if own[0].empty:
        return [], []
    carried = carried_over(_tables(runs, variant, together, "validation"), own)
    at = next(each for each in carried if each.specificity == AT)
    said = EXTERNAL.get(source, Printed(None)) if variant == ALL_TASKS else Printed(None)
    row = (
        " + ".join(together),
        source,
        in_words(variant),
        as_printed(said),
        percent(at.sensitivity),
        percent(at.reached),
        f"{at.sensitivity.n} / {at.reached.n}",
    )
    return [row], [
        {"left_out": together, "source": source, "variant": variant, "carried": [asdict(each) for each in carried]}
    ]
