"""Section 4.1: overlap of the lungs, and how much of the disease is found and how much is called falsely."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.goal import Goal
from cxrscreen.evaluate.region_overlap import RegionFigures, region_figures
from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS
from cxrscreen.evaluate.reproduce.comit_net.paper import DISEASE_SENSITIVITY, LUNG_IOU
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.table import Part, Table
from cxrscreen.systems.comit_net.answers import DISEASE, LUNG_BOXES, LUNGS

LUNG_GOAL, DISEASE_GOAL = Goal(0.92), Goal(0.87)
POOLED = "all sources"
NOTHING = "No image that trained nothing has a reference, so that nothing was measured here: give more masks or boxes."


@dataclass(frozen=True)
class _Row:
    """A variant's region on the images of one source, or of all."""

    variant: str
    region: str
    source: str
    figures: RegionFigures


def lungs_table(runs: ComitRuns) -> Table:
    """Overlap with outlines drawn by people, by source, and the boxes around them."""
    rows = [row for variant in _variants(runs) for row in _measured(runs, variant, LUNGS, by_source=True)]
    boxes = [row for variant in _variants(runs) for row in _measured(runs, variant, LUNG_BOXES, by_source=False)]
    own = next(row for row in rows if (row.variant, row.source) == (ALL_TASKS, POOLED))
    overlap = own.figures.estimates.get("iou")
    cells = tuple(
        (
            say.VARIANTS[row.variant],
            row.source,
            _printed(LUNG_IOU, row) if row.region == LUNG_BOXES else "-",
            _text(row.figures.estimates.get("iou")),
            str(row.figures.images),
        )
        for row in (*boxes, *rows)
    )
    box_rows, outline_rows = cells[: len(boxes)], cells[len(boxes) :]
    head = ("Method", "Images", "Printed, boxes", "IoU", "n")
    return _table(
        "lungs",
        "Section 4.1: lungs",
        (Part("Outlines", head, outline_rows), Part("Boxes around the lungs", head, box_rows)),
        [*rows, *boxes],
        answer=(
            NOTHING
            if overlap is None
            else f"IoU of the lungs' outlines, goal at least {LUNG_GOAL.limit:g}: {_text(overlap)}, "
            f"{LUNG_GOAL.verdict(overlap)}.",
        ),
        differs=(*_lacking(runs, LUNG_IOU), *say.BOXES_PRINTED, *say.DIFFERS),
        not_to_conclude=say.LUNGS_CONCLUDED,
    )


def disease_table(runs: ComitRuns) -> Table:
    """Pixels of the disease that are found (TPR) beside the share of called pixels that are right."""
    rows = [row for variant in _variants(runs) for row in _measured(runs, variant, DISEASE, by_source=False)]
    own = next(row for row in rows if row.variant == ALL_TASKS).figures.estimates
    figures = ("sensitivity", "precision", "iou", "pixel_sensitivity", "pixel_precision")
    cells = tuple(
        (
            say.VARIANTS[row.variant],
            _printed(DISEASE_SENSITIVITY, row),
            *(_text(row.figures.estimates.get(figure)) for figure in figures),
            str(row.figures.images),
        )
        for row in rows
    )
    head = (
        "Method",
        "Printed TPR",
        "TPR",
        "Precision",
        "IoU",
        "TPR, all pixels together",
        "Precision, all pixels together",
        "n",
    )
    found = own.get("sensitivity")
    return _table(
        "disease",
        "Section 4.1: disease",
        (Part("Where the score reaches 0.5", head, cells),),
        rows,
        answer=(
            NOTHING
            if found is None
            else f"TPR of the disease at 0.5, goal at least {DISEASE_GOAL.limit:g}: {_text(found)}, "
            f"{DISEASE_GOAL.verdict(found)}; precision {_text(own.get('precision'))}.",
        ),
        differs=(
            *_lacking(runs, DISEASE_SENSITIVITY),
            *say.SENSITIVITY_ALONE,
            *say.DISEASE_DIFFERS,
            *say.DIFFERS,
        ),
        not_to_conclude=say.DISEASE_CONCLUDED,
    )


def _variants(runs: ComitRuns) -> tuple[str, ...]:
    return (*runs.variants.of_kind("masks"), ALL_TASKS)


def _lacking(runs: ComitRuns, printed: Mapping[str, float]) -> tuple[str, ...]:
    own = _variants(runs)
    return say.not_in_recipe({name: f"{value:.2f}" for name, value in printed.items() if name not in own})


def _measured(runs: ComitRuns, variant: str, region: str, *, by_source: bool) -> list[_Row]:
    table = runs.regions(variant, region)
    sets: list[tuple[str, pd.DataFrame]] = [(POOLED, table)]
    if by_source:
        sets += [(str(source), rows) for source, rows in table.groupby("source", sort=True)]
    return [_Row(variant, region, name, region_figures(rows)) for name, rows in sets]


def _table(
    name: str,
    title: str,
    parts: tuple[Part, ...],
    rows: Sequence[_Row],
    *,
    answer: tuple[str, ...],
    differs: tuple[str, ...],
    not_to_conclude: tuple[str, ...],
) -> Table:
    content: list[Mapping[str, Any]] = [asdict(row) for row in rows]
    return Table(
        name,
        title,
        parts,
        content,
        differs=differs,
        not_to_conclude=not_to_conclude,
        answer=answer,
        system=say.SYSTEM,
        intervals=say.REGION_INTERVALS,
    )


def _printed(figures: Mapping[str, float], row: _Row) -> str:
    return f"{figures[row.variant]:.2f}" if row.variant in figures else "-"


def _text(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "not measured"
    if estimate.ci_low is None or estimate.ci_high is None:
        return f"{estimate.value:.3f} [no interval]"
    return f"{estimate.value:.3f} [{estimate.ci_low:.3f}, {estimate.ci_high:.3f}]"
