"""Children taken out of training and test: how much of a figure rests on telling children from adults."""

import numpy as np

from cxrscreen.evaluate.audit.controls.bench import (
    FEWEST,
    Bench,
    Scored,
    above_chance,
    aucs_of,
    both_classes,
    scores_of,
)
from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.part import AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate

LARGEST_CHANGE = 0.05
"""AUC by which a probe without children may differ from one with them."""

_ALL, _ADULTS, _WITHOUT, _CHANGE, _AGE = (
    "with children",
    "with children, tested on adults",
    "without children",
    "change",
    "child or adult",
)


def audit_children(bench: Bench) -> AuditPart:
    """Train with and without the images of children, and a probe that names children."""
    measured = {protocol: figures for protocol in bench.data.splits if (figures := _figures(bench, protocol))}
    judged = [figures[_CHANGE].value for figures in measured.values() if above_chance(figures[_ALL])]
    changes = [value for value in judged if value is not None]
    parts = [
        f"{bench.data.decision(protocol).words} {shown(figures[_ALL])} with and {shown(figures[_WITHOUT])} without them"
        for protocol, figures in measured.items()
    ]
    said = (
        f"AUC of a network trained with and without children: {'; '.join(parts)}."
        if parts
        else "There are no images marked as of children, or too few of adults, so nothing can be taken out."
    )
    columns = ("Decision", _ALL.capitalize(), _ADULTS.capitalize(), _WITHOUT.capitalize(), "Change", "Child or adult")
    rows: list[tuple[Cell, ...]] = [
        (bench.data.decision(p).words, *(figures.get(name) for name in (_ALL, _ADULTS, _WITHOUT, _CHANGE, _AGE)))
        for p, figures in measured.items()
    ]
    figure = None
    if measured:
        panels = {
            bench.data.decision(p).words: {name: [figures.get(name)] for name in (_ALL, _ADULTS, _WITHOUT, _AGE)}
            for p, figures in measured.items()
        }
        figure = interval_figure(panels, ("AUC",), axis="AUC", chance=0.5)
    return AuditPart(
        name="trained-children",
        title="Without children",
        question="Does the figure hold when the images of children are taken out of training and test?",
        design=(
            "A probe trained and tested on all images; the same probe tested on what is left without images marked "
            "paediatric; a probe trained and tested without them. A further probe learns which images are of children, "
            "from those whose mark is known. Images of unknown age stay in. Passed where the AUC with and without "
            f"children differs by at most {LARGEST_CHANGE}; at least {FEWEST} test images of each class without them, "
            "and an interval above 0.5 with them."
        ),
        passed=all(abs(value) <= LARGEST_CHANGE for value in changes) if changes else None,
        finding=said,
        tables=(AuditTable("AUC of a probe with and without children", columns, tuple(rows)),) if rows else (),
        figures=(AuditFigure("With and without children", figure, said),) if figure else (),
        not_to_conclude=(
            "A change may come from the sources and diseases that leave together with the children, not from age "
            "itself; no change does not make the system fit for children."
        ),
    )


def _figures(bench: Bench, protocol: str) -> dict[str, Estimate] | None:
    """AUCs by name, or None where there are no children, or not enough else."""
    own = bench.sets[protocol]
    truth, groups, age = own.truth, own.column("group"), own.column("pediatric")
    adult, tested = age != "true", own.part("test")
    parts = [adult & own.part(part) for part in ("train", "validation")]
    if adult.all() or not all(both_classes(truth, rows, 1) for rows in parts):
        return None
    if not both_classes(truth, adult & tested):
        return None
    bench.data.advance(f"training a probe on {protocol} without children")
    probe = bench.fit(own.pixels, truth, *parts)
    whole, without = bench.whole(protocol)[None], scores_of(probe, own.pixels, adult & tested)[None]
    measured = {
        _ALL: Scored(truth, whole, tested),
        _ADULTS: Scored(truth, whole, adult & tested),
        _WITHOUT: Scored(truth, without, adult & tested),
    }
    child, known = (age == "true").astype(np.int64), np.isin(age, ("true", "false"))
    train, validation, test = (known & own.part(part) for part in ("train", "validation", "test"))
    if all(both_classes(child, rows, 5) for rows in (train, validation, test)):
        bench.data.advance(f"training a probe to name children, {protocol}")
        namer = bench.fit(own.pixels, child, train, validation)
        measured[_AGE] = Scored(child, scores_of(namer, own.pixels, test)[None], test)
    return aucs_of(measured, groups, bench.data, ((_CHANGE, _WITHOUT, _ALL),))
