"""What is left when a probe is trained without the lungs, on the lungs, their mask or the borders alone."""

from collections.abc import Mapping

from cxrscreen.evaluate.audit.controls.bench import FEWEST, Bench, above_chance, scores_of
from cxrscreen.evaluate.audit.controls.views import BLACK, BORDERS, LUNGS, MASK, WHOLE, view_of
from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.interventions import BORDER, DILATION
from cxrscreen.evaluate.audit.part import AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.regions import NEAR_CHANCE, POOLED, WITHIN, Aucs, edited_aucs
from cxrscreen.evaluate.audit.untouched import UNTOUCHED
from cxrscreen.evaluate.audit.wording import shown

TRAINED = (BLACK, LUNGS, MASK, BORDERS)
"""Views on which a probe is trained beside the whole image."""


def audit_trained_views(bench: Bench) -> AuditPart:
    """Train one probe per view and set their AUCs side by side (Maguolo and Nanni, 2021)."""
    measured = {bench.data.decision(protocol).words: _view_aucs(bench, protocol) for protocol in bench.data.splits}
    verdicts = [left_nothing(sets) for sets in measured.values()]
    known = [verdict for verdict in verdicts if verdict is not None]
    said = " ".join(_sentence(decision, sets) for decision, sets in measured.items())
    return AuditPart(
        name="trained-views",
        title="Trained without the lungs, and on parts of the image",
        question="Can a network learn the labels of these images without seeing the lungs?",
        design=(
            "A small residual network of its own is trained from nothing for each view, by one fixed recipe at 96 "
            f"pixels: whole image; lungs blanked (grown by {DILATION:.0%}); lungs only; the mask alone; a border of "
            f"{BORDER:.0%} alone. Lung masks are the system's own for every image, for masks of several origins would "
            "name the source. Training and validation parts train, the test part is measured once. It fails where, "
            f"with the lungs blanked, the AUC pooled or within sources lies more than {NEAR_CHANCE} from 0.5, or its "
            f"interval reaches that of the whole image; at least {FEWEST} images of each class, and no verdict where "
            "the whole image teaches nothing either. Design: Maguolo and Nanni, 2021."
        ),
        passed=all(known) if known else None,
        finding=said,
        tables=_view_tables(measured),
        figures=_view_figures(measured, said),
        not_to_conclude=(
            "This judges the collection of images and its labels, not the bundle: where it fails, no pooled figure on "
            "these images shows that a disease was recognised. Blanking leaves the outline of the lungs, which disease "
            "changes, and lung that the mask missed: read it beside the mask-only row. A small network at 96 pixels "
            "that finds nothing does not show that there is nothing to find."
        ),
    )


def left_nothing(sets: Mapping[str, Aucs]) -> bool | None:
    """Whether the blanked lungs left no more than chance, pooled and within sources.

    None with too few images, or where the whole image taught nothing either.
    """
    verdicts = []
    for name in (POOLED, WITHIN):
        aucs = sets.get(name)
        if aucs is None or min(aucs.positives, aucs.negatives) < FEWEST:
            continue
        whole, black = aucs.auc[UNTOUCHED], aucs.auc[BLACK]
        if black.value is None:
            continue
        near = abs(black.value - 0.5) <= NEAR_CHANCE
        if near and not above_chance(whole):
            continue
        below = whole.ci_low is not None and black.ci_high is not None and black.ci_high < whole.ci_low
        verdicts.append(near and below)
    return all(verdicts) if verdicts else None


def _view_aucs(bench: Bench, protocol: str) -> dict[str, Aucs]:
    own = bench.sets[protocol]
    tested = own.part("test")
    rows = own.table[tested].assign(**{UNTOUCHED: bench.whole(protocol)[tested]})
    for view in TRAINED:
        bench.data.advance(f"training a probe on {protocol}: {view}")
        pictures = view_of(own, view)
        probe = bench.fit(pictures, own.truth, own.part("train"), own.part("validation"))
        rows = rows.assign(**{view: scores_of(probe, pictures, tested)[tested]})
    return edited_aucs(rows.reset_index(drop=True), TRAINED, replicates=bench.data.replicates, seed=bench.data.seed)


def _sentence(decision: str, sets: Mapping[str, Aucs]) -> str:
    parts = [
        f"{name} {shown(sets[name].auc[UNTOUCHED])} with the whole image, {shown(sets[name].auc[BLACK])} with the "
        f"lungs blanked, {shown(sets[name].auc[MASK])} from the mask alone"
        for name in (POOLED, WITHIN)
        if name in sets
    ]
    return f"{decision}, AUC of a trained network: {'; '.join(parts)}."


def _view_tables(measured: Mapping[str, Mapping[str, Aucs]]) -> tuple[AuditTable, ...]:
    rows: list[tuple[Cell, ...]] = [
        (
            decision,
            where,
            aucs.positives,
            aucs.negatives,
            *(aucs.auc[view] for view in (UNTOUCHED, *TRAINED)),
        )
        for decision, sets in measured.items()
        for where, aucs in sets.items()
    ]
    columns = ("Decision", "Images", "n+", "n-", WHOLE, *TRAINED)
    return (AuditTable("AUC of a probe trained on each view, on the test part", columns, tuple(rows)),)


def _view_figures(measured: Mapping[str, Mapping[str, Aucs]], said: str) -> tuple[AuditFigure, ...]:
    panels = {
        decision: {
            name: [sets[where].auc[view] if where in sets else None for where in (POOLED, WITHIN)]
            for name, view in zip((WHOLE, *TRAINED), (UNTOUCHED, *TRAINED), strict=True)
        }
        for decision, sets in measured.items()
    }
    drawn = interval_figure(panels, (POOLED, WITHIN), axis="AUC", chance=0.5)
    return (AuditFigure("AUC of a network trained on each view", drawn, said),)
