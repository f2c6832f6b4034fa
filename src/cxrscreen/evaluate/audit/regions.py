"""What a system can still tell when the lungs are blanked, or when only a part of the image is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.interventions import (
    BORDER,
    CORNER,
    DILATION,
    black_lungs,
    borders_only,
    corners_only,
    lungs_only,
    outline_only,
)
from cxrscreen.evaluate.audit.part import AuditData, AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.untouched import UNTOUCHED, Edit, protocols, rescored, side_by_side
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap_all
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.weighted import weighted_auc

NEAR_CHANCE = 0.15
"""An AUC within this distance of 0.5 counts as near chance; AUCs below 0.5 are knowledge as well."""
LARGEST_LOSS = 0.05
"""AUC that may be lost when only the lungs are left."""
FEWEST = 10
"""Images of each class below which no verdict is given."""

POOLED, WITHIN = "all sources pooled", "mean within sources"


@dataclass(frozen=True)
class Aucs:
    """AUCs on one set of images, untouched and after each edit, on the same resamples.

    Parameters
    ----------
    positives, negatives
        Images of each class; of the smallest source where several are averaged.
    auc
        By edit, with `UNTOUCHED` among them.
    lost
        By edit, untouched minus edited.
    """

    positives: int
    negatives: int
    auc: Mapping[str, Estimate]
    lost: Mapping[str, Estimate]


def audit_black_lungs(data: AuditData) -> AuditPart:
    """Blank the lungs and keep the rest: an honest model falls to chance."""
    edits = {"black lungs": black_lungs}
    scored = rescored(data, edits, "black lungs")
    aucs = _measured(data, edits, scored)
    return _part(
        aucs,
        scored,
        name="black-lungs",
        title="Black lungs",
        question="With the lungs blanked and the rest kept, does the decision fall to chance?",
        design=f"The lungs that the system found on the untouched image, grown by {DILATION:.0%} of the shorter side, "
        f"are set to black; the edited image is screened as any other. {_CHANCE_RULE} Design: Maguolo and Nanni, 2021, "
        "without training again.",
        passed=_all_near_chance(aucs, tuple(edits)),
        said=_fall(aucs, "black lungs", "With the lungs blanked"),
        not_to_conclude="A fall to chance does not show that the model uses disease inside the lungs, only that the "
        "rest alone does not decide. The blanked area keeps the outline of the lungs, which disease can change; and a "
        "model that has never seen blanked lungs may fall for that reason alone: the control that trains again asks "
        "what the rest could tell.",
    )


def audit_lungs_only(data: AuditData) -> AuditPart:
    """Keep the lungs alone, then their outline alone."""
    edits = {"lungs only": lungs_only, "outline only": outline_only}
    scored = rescored(data, edits, "lungs only")
    aucs = _measured(data, edits, scored)
    return _part(
        aucs,
        scored,
        name="lungs-only",
        title="Lungs only, and their outline only",
        question="Do the lungs alone carry the decision, and not their outline alone?",
        design=f"Lungs only: all but the lungs, grown by {DILATION:.0%}, is black. Outline only: even dark lungs on an "
        f"even bright ground. With the lungs only it passes where at most {LARGEST_LOSS} of AUC is lost. The outline: "
        f"{_CHANCE_RULE}",
        passed=_both(_little_lost(aucs, "lungs only"), _all_near_chance(aucs, ("outline only",))),
        said=_fall(aucs, "lungs only", "With the lungs alone") + " " + _fall(aucs, "outline only", "With the outline"),
        not_to_conclude="The lungs are found again on the edited image, and on a black or even ground they may be "
        "found wrongly; an AUC lost for that reason says nothing about the classifier. A kept AUC does not show that "
        "disease decides: the grey scale, sharpness and grain of a hospital's machines lie over the lungs too. A "
        "disease that opens or shrinks the lungs changes the outline, so an outline above chance is a warning and no "
        "proof of a fault.",
    )


def audit_borders(data: AuditData) -> AuditPart:
    """Keep borders alone, then corners alone: there is no pneumonia in them."""
    edits = {"borders only": borders_only, "corners only": corners_only}
    scored = rescored(data, edits, "borders only")
    aucs = _measured(data, edits, scored)
    return _part(
        aucs,
        scored,
        name="borders",
        title="Borders only, corners only",
        question="Can the decision be made from the border or the corners of the image, where no lung is?",
        design=f"Borders: {BORDER:.0%} of the shorter side on each edge; corners: squares of {CORNER:.0%}; the lungs, "
        f"grown by {DILATION:.0%}, and all else are black. {_CHANCE_RULE}",
        passed=_all_near_chance(aucs, tuple(edits)),
        said=_fall(aucs, "borders only", "From the borders") + " " + _fall(aucs, "corners only", "From the corners"),
        not_to_conclude="Chance here does not mean that borders never count: beside a chest they may still add to the "
        "score; mark erasure and occlusion ask that.",
    )


_CHANCE_RULE = (
    f"It passes where the AUC lies within {NEAR_CHANCE} of 0.5 and its interval stays below the one of the untouched "
    f"images, pooled and within sources; no verdict below {FEWEST} images a class, where the interval is too wide, or "
    "where the untouched images give no more than chance; such sets are left out of the verdict."
)


def edited_aucs(rows: pd.DataFrame, edits: Sequence[str], *, replicates: int, seed: int) -> dict[str, Aucs]:
    """Measure AUCs of edited against untouched images.

    Parameters
    ----------
    rows
        From `side_by_side`.
    edits
        Its columns of edited scores.
    replicates, seed
        Of the bootstrap by patient group.

    Returns
    -------
    dict of Aucs
        `POOLED`, `WITHIN` (plain mean over the sources with at least five images of each class), then those sources
        by name; empty where all images are of one class.
    """
    if rows["truth"].nunique() < 2:
        return {}
    sources = [str(name) for name, part in rows.groupby("source", sort=True) if min(_classes(part)) >= MIN_PER_CLASS]
    measured = {POOLED: _aucs(rows, edits, [np.arange(len(rows))], replicates, seed)}
    members = [np.flatnonzero(rows["source"].to_numpy() == source) for source in sources]
    if members:
        measured[WITHIN] = _aucs(rows, edits, members, replicates, seed)
    for source, member in zip(sources, members, strict=True):
        measured[source] = _aucs(rows, edits, [member], replicates, seed)
    return measured


def _aucs(
    rows: pd.DataFrame, edits: Sequence[str], members: Sequence[NDArray[np.intp]], replicates: int, seed: int
) -> Aucs:
    """The mean over sets of images of each set's AUC, for every edit on the same resamples."""
    used = np.concatenate(members)
    truth = rows["truth"].to_numpy().astype(bool)
    scores = {edit: rows[edit].to_numpy(dtype=np.float64) for edit in (UNTOUCHED, *edits)}

    def statistics(weights: Floats) -> dict[str, Floats]:
        full = np.zeros((len(weights), len(rows)))
        full[:, used] = weights
        values: dict[str, Floats] = {
            edit: np.mean([weighted_auc(truth[m], score[m], full[:, m]) for m in members], axis=0)
            for edit, score in scores.items()
        }
        return values | {f"lost {edit}": values[UNTOUCHED] - values[edit] for edit in edits}

    groups = rows["group"].astype(str).to_numpy()[used].tolist()
    found = bootstrap_all(statistics, groups, replicates=replicates, seed=seed)
    classes = [_classes(rows.iloc[member]) for member in members]
    return Aucs(
        positives=min(positive for positive, _ in classes),
        negatives=min(negative for _, negative in classes),
        auc={edit: found[edit] for edit in scores},
        lost={edit: found[f"lost {edit}"] for edit in edits},
    )


def _measured(data: AuditData, edits: Mapping[str, Edit], scored: pd.DataFrame) -> dict[str, dict[str, Aucs]]:
    """AUCs by decision (in words), then by set of images."""
    return {
        decision: edited_aucs(
            side_by_side(data, protocol, scored), tuple(edits), replicates=data.replicates, seed=data.seed
        )
        for protocol, decision in protocols(data)
    }


def near_chance(aucs: Aucs, edit: str) -> bool | None:
    """Whether an edit left no more than chance.

    Returns
    -------
    bool or None
        None where it cannot be told: fewer than `FEWEST` images of a class, an interval so wide that it holds 0.5 and
        an AUC that would fail, or untouched images that give an AUC near chance themselves, so that there was nothing
        to lose.
    """
    before, after = aucs.auc[UNTOUCHED], aucs.auc[edit]
    if min(aucs.positives, aucs.negatives) < FEWEST or before.value is None or after.value is None:
        return None
    if before.ci_low is None or after.ci_low is None or after.ci_high is None:
        return None
    if abs(after.value - 0.5) > NEAR_CHANCE:
        return None if after.ci_low <= 0.5 <= after.ci_high else False
    if before.value <= 0.5 + NEAR_CHANCE:
        return None
    if after.ci_high < before.ci_low:
        return True
    return None if after.ci_low <= 0.5 else False


def little_lost(aucs: Aucs, edit: str) -> bool | None:
    """Whether an edit cost at most `LARGEST_LOSS` of AUC; None where more was lost but the interval holds that much."""
    lost = aucs.lost[edit]
    if min(aucs.positives, aucs.negatives) < FEWEST or lost.value is None or lost.ci_low is None:
        return None
    if lost.value <= LARGEST_LOSS:
        return True
    return False if lost.ci_low > LARGEST_LOSS else None


def _all_near_chance(measured: Mapping[str, Mapping[str, Aucs]], edits: Sequence[str]) -> bool | None:
    return _both(*(near_chance(aucs, edit) for aucs in _judged(measured) for edit in edits))


def _little_lost(measured: Mapping[str, Mapping[str, Aucs]], edit: str) -> bool | None:
    return _both(*(little_lost(aucs, edit) for aucs in _judged(measured)))


def _judged(measured: Mapping[str, Mapping[str, Aucs]]) -> list[Aucs]:
    return [sets[name] for sets in measured.values() for name in (POOLED, WITHIN) if name in sets]


def _both(*verdicts: bool | None) -> bool | None:
    """False where one is, else True where one is, else None."""
    known = [verdict for verdict in verdicts if verdict is not None]
    return all(known) if known else None


def _fall(measured: Mapping[str, Mapping[str, Aucs]], edit: str, what: str) -> str:
    parts = [
        f"of {decision} goes from {shown(sets[name].auc[UNTOUCHED])} to {shown(sets[name].auc[edit])} ({name})"
        for decision, sets in measured.items()
        for name in (POOLED, WITHIN)
        if name in sets
    ]
    return f"{what} the AUC " + "; ".join(parts) + "." if parts else f"{what} no AUC could be measured."


def _part(
    measured: Mapping[str, Mapping[str, Aucs]],
    scored: pd.DataFrame,
    *,
    name: str,
    title: str,
    question: str,
    design: str,
    passed: bool | None,
    said: str,
    not_to_conclude: str,
) -> AuditPart:
    edits = list(next((aucs.lost for sets in measured.values() for aucs in sets.values()), {}))
    rows: list[tuple[Cell, ...]] = [
        (decision, where, aucs.positives, aucs.negatives, aucs.auc[UNTOUCHED], *_after(aucs, edits))
        for decision, sets in measured.items()
        for where, aucs in sets.items()
    ]
    headings = [text for edit in edits for text in (f"AUC {edit}", f"Lost, {edit}")]
    columns = ("Decision", "Images", "n+", "n-", "AUC untouched", *headings)
    figures: tuple[AuditFigure, ...] = ()
    if rows:
        panels = {
            decision: {where: [aucs.auc[e] for e in (UNTOUCHED, *edits)] for where, aucs in sets.items()}
            for decision, sets in measured.items()
            if sets
        }
        drawn = interval_figure(panels, (UNTOUCHED, *edits), axis="AUC", chance=0.5)
        alt = f"AUC of untouched and edited images by decision, pooled and within sources. {said}"
        figures = (AuditFigure(f"{title}: AUC of untouched and edited images", drawn, alt),)
    table = AuditTable("AUC with 95 % intervals by patient; lost = untouched minus edited", columns, tuple(rows))
    return AuditPart(name, title, question, design, passed, said, (table,), figures, not_to_conclude, scored)


def _after(aucs: Aucs, edits: Sequence[str]) -> list[Estimate]:
    return [estimate for edit in edits for estimate in (aucs.auc[edit], aucs.lost[edit])]


def _classes(rows: pd.DataFrame) -> tuple[int, int]:
    positive = int((rows["truth"] == 1).sum())
    return positive, len(rows) - positive
