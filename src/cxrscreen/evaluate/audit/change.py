"""How much an edit that should not matter moves the scores: mean, largest, and the decisions it flips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.part import AuditFigure, AuditTable, Cell
from cxrscreen.evaluate.audit.untouched import UNTOUCHED
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap, grouped_rate
from cxrscreen.evaluate.weighted import weighted_mean

MOST_FLIPPED = 0.02
"""Share of decisions that an edit outside the lungs may flip; above, the audit fails."""
FEWEST_IMAGES = 50
"""Images below which no verdict is given."""


@dataclass(frozen=True)
class Change:
    """What one edit does to the scores of one decision.

    Parameters
    ----------
    n
        Images.
    mean
        Mean of edited minus untouched score, in [-1, 1].
    mean_absolute
        Mean size of the change, in [0, 1].
    largest
        Largest size of the change, in [0, 1].
    flipped
        Share of images whose decision at the operating point became the other one.
    """

    n: int
    mean: Estimate
    mean_absolute: Estimate
    largest: float
    flipped: Estimate


def changes_of(
    rows: pd.DataFrame, edits: Sequence[str], threshold: float, *, replicates: int, seed: int
) -> dict[str, Change]:
    """Measure every edit.

    Parameters
    ----------
    rows
        From `untouched.side_by_side`.
    edits
        Its columns of edited scores.
    threshold
        Operating point of the decision, in [0, 1].
    replicates, seed
        Of the bootstrap by patient group.

    Returns
    -------
    dict of Change
        By edit; empty without images.
    """
    if rows.empty:
        return {}
    groups = rows["group"].astype(str).tolist()
    before = rows[UNTOUCHED].to_numpy(dtype=np.float64)

    def mean(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Estimate:
        return bootstrap(lambda weights: weighted_mean(values, weights), groups, replicates=replicates, seed=seed)

    found = {}
    for edit in edits:
        after = rows[edit].to_numpy(dtype=np.float64)
        found[edit] = Change(
            n=len(rows),
            mean=mean(after - before),
            mean_absolute=mean(np.abs(after - before)),
            largest=float(np.abs(after - before).max()),
            flipped=grouped_rate((after >= threshold) != (before >= threshold), groups),
        )
    return found


def change_table(changes: Mapping[str, Mapping[str, Change]], what: str) -> AuditTable:
    """Lay out changes by decision and edit; ``what`` heads the column of edits."""
    rows: list[tuple[Cell, ...]] = [
        (decision, edit, change.n, change.mean, change.mean_absolute, change.largest, change.flipped)
        for decision, edits in changes.items()
        for edit, change in edits.items()
    ]
    columns = ("Decision", what, "Images", "Mean change", "Mean size of the change", "Largest", "Decisions flipped")
    return AuditTable("Change of the score, edited minus untouched, 95 % intervals by patient", columns, tuple(rows))


def change_figure(changes: Mapping[str, Mapping[str, Change]], title: str, alt: str) -> tuple[AuditFigure, ...]:
    """Draw the changes by decision and edit; nothing where no decision has one."""
    panels = {
        decision: {name: [change.mean_absolute, change.flipped] for name, change in by_name.items()}
        for decision, by_name in changes.items()
        if by_name
    }
    if not panels:
        return ()
    drawn = interval_figure(panels, ("mean change of the score", "share of decisions flipped"), axis="")
    return (AuditFigure(title, drawn, alt),)


def change_verdict(
    changes: Mapping[str, Mapping[str, Change]], edits: Sequence[str], what: str
) -> tuple[bool | None, str]:
    """Judge the edits that should not matter.

    Parameters
    ----------
    changes
        By decision and edit.
    edits
        Those judged.
    what
        An edit in words, to begin a sentence with: "a mark outside the lungs".

    Returns
    -------
    tuple
        Whether every one of them flips at most `MOST_FLIPPED` of the decisions, and a sentence on the worst. None below
        `FEWEST_IMAGES` images, or where more flip but the interval still holds that share.
    """
    judged = [(by[edit], edit, decision) for decision, by in changes.items() for edit in edits if edit in by]
    if not judged:
        return None, "No image could be screened with and without the edit."
    worst, edit, decision = max(judged, key=lambda item: item[0].flipped.value or 0.0)
    said = (
        f"At worst {what} ({edit}) flips {shown(worst.flipped, 3)} of the decisions {decision}; scores move by "
        f"{shown(worst.mean_absolute, 3)} on average and by {worst.largest:.2f} at most. "
        f"At most {MOST_FLIPPED} may flip."
    )
    if min(change.n for change, _, _ in judged) < FEWEST_IMAGES:
        return None, f"{said} No verdict below {FEWEST_IMAGES} images."
    if (worst.flipped.value or 0.0) <= MOST_FLIPPED:
        return True, said
    if worst.flipped.ci_low is not None and worst.flipped.ci_low <= MOST_FLIPPED:
        return None, f"{said} No verdict, since the interval holds that share: take more images."
    return False, said
