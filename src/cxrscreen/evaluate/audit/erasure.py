"""Mark erasure: how the score changes where corners or marks outside the lungs are painted over."""

from cxrscreen.evaluate.audit.change import change_figure, change_table, change_verdict, changes_of
from cxrscreen.evaluate.audit.interventions import CORNER, MARK_BORDER, erase_corners, erase_marks
from cxrscreen.evaluate.audit.part import AuditData, AuditPart
from cxrscreen.evaluate.audit.untouched import protocols, rescored, side_by_side, threshold_of

EDITS = {"corners painted over": erase_corners, "marks painted over": erase_marks}
"""What is erased, by name."""


def audit_mark_erasure(data: AuditData) -> AuditPart:
    """Paint over the corners, then what looks like a mark: no decision should rest on them."""
    scored = rescored(data, EDITS, "mark erasure")
    changes = {
        decision: changes_of(
            side_by_side(data, protocol, scored),
            tuple(EDITS),
            threshold_of(data, protocol),
            replicates=data.replicates,
            seed=data.seed,
        )
        for protocol, decision in protocols(data)
    }
    verdict, said = change_verdict(changes, tuple(EDITS), "erasing")
    figures = change_figure(changes, "What erasing does", f"Change of score and decisions by erasure. {said}")
    return AuditPart(
        name="mark-erasure",
        title="Mark erasure",
        question="Do decisions rest on corners, laterality marks or text?",
        design=f"Painted over from their surroundings (Telea, 2004): four corner squares of {CORNER:.0%} of the "
        f"shorter side; and small, very bright structures in the outer {MARK_BORDER:.0%} of the image. The lungs "
        "found are never touched.",
        passed=verdict,
        finding=said,
        tables=(change_table(changes, "Erased"),),
        figures=figures,
        not_to_conclude="Marks are found by brightness and size alone: some are missed and some bone is painted over. "
        "A steady score does not show that the grey scale or sharpness of a source is not used.",
    )
