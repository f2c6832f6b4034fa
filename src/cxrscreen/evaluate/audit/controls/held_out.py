"""Sources held out of the training of a probe: one at a time, and in two halves against each other."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.evaluate.audit.controls.bench import (
    FEWEST,
    Bench,
    LabelledImages,
    Rows,
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
from cxrscreen.evaluate.metrics import auc

LARGEST_GAP = 0.10
"""AUC that may be lost from images of known sources to those of an unknown one."""
SWAP_SEEDS = 5
"""Trainings of each direction of the swap (DeGrave et al., 2021)."""

_INTERNAL, _EXTERNAL, _SEEN, _GAP = "internal", "external", "seen", "gap"


def audit_held_out_sources(bench: Bench) -> AuditPart:
    """Leave each source with both classes out in turn, and the largest source of one class as a control."""
    measured = {protocol: held_out(bench, protocol) for protocol in bench.data.splits}
    judged = [item for items in measured.values() for item in items if not item.control]
    gaps = [item.figures[_GAP].value for item in judged if above_chance(item.figures[_INTERNAL])]
    known = [gap for gap in gaps if gap is not None]
    rows: list[tuple[Cell, ...]] = [
        (
            bench.data.decision(protocol).words,
            item.title,
            item.positives,
            item.negatives,
            *(item.figures.get(name) for name in (_INTERNAL, _EXTERNAL, _GAP, _SEEN)),
        )
        for protocol, items in measured.items()
        for item in items
    ]
    columns = ("Decision", "Held out", "n+", "n-", "Internal AUC", "External AUC", "Gap", "Same source when trained on")
    parts = [
        f"{bench.data.decision(protocol).words}: "
        + ", ".join(f"{i.source} {shown(i.figures[_EXTERNAL])} (gap {shown(i.figures[_GAP])})" for i in own)
        for protocol, items in measured.items()
        if (own := [item for item in items if not item.control])
    ]
    said = (
        "AUC on a source that was held out of the training: " + "; ".join(parts) + "."
        if parts
        else f"No source has {FEWEST} images of both classes, beside others that have: none can be held out."
    )
    panels = {
        bench.data.decision(protocol).words: {
            item.title: [item.figures.get(name) for name in (_INTERNAL, _EXTERNAL, _SEEN)] for item in items
        }
        for protocol, items in measured.items()
        if items
    }
    figures: tuple[AuditFigure, ...] = ()
    if panels:
        series = ("other sources (internal)", "held-out source (external)", "same source when trained on")
        drawn = interval_figure(panels, series, axis="AUC", chance=0.5)
        figures = (AuditFigure("Each source held out in turn", drawn, said),)
    return AuditPart(
        name="trained-held-out",
        title="Leave one source out",
        question="Does what a network learns from other sources hold on a source it has never seen?",
        design=(
            "For every source with both classes a probe is trained on the training and validation parts of all other "
            "sources. Internal: the test part of those. External: all images of the held-out source, none of which, "
            "nor a patient of which, trained it. Gap: internal minus external, on the same resamples of patients. "
            "Beside it the test part of the same source for the probe that trained on all sources. The control is the "
            "largest source of one class, measured against the test images of the other class of the other sources. "
            f"Passed where every gap is at most {LARGEST_GAP}; controls, and probes whose internal interval reaches "
            "0.5, are not counted."
        ),
        passed=all(gap <= LARGEST_GAP for gap in known) if known else None,
        finding=said,
        tables=(AuditTable("AUC inside and outside the sources of the training", columns, tuple(rows)),),
        figures=figures,
        not_to_conclude=(
            "The probe is not the bundle, which trained on these sources: this says how far such labels carry from "
            "hospital to hospital. A large gap may come from other patients and other labelling as well as from "
            "shortcuts; a small one may come from a shortcut that the sources share. The internal figure is of sources "
            "that mostly hold one class and is flattered by that."
        ),
    )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One source held out.

    Parameters
    ----------
    source, control
        Its name, and whether it holds one class only.
    positives, negatives
        Images of the external AUC.
    figures
        ``internal``, ``external``, ``gap`` and, where the test part allows, ``seen``.
    """

    source: str
    control: bool
    positives: int
    negatives: int
    figures: dict[str, Estimate]

    @property
    def title(self) -> str:
        """Its name, with what it is."""
        return f"{self.source} (control)" if self.control else self.source


def held_out(bench: Bench, protocol: str) -> list[HeldOut]:
    """Measure every source that can be held out, the control last."""
    own = bench.sets[protocol]
    source, truth = own.column("source"), own.truth
    names = [str(name) for name in np.unique(source)]
    both = [name for name in names if both_classes(truth, source == name)]
    single = [name for name in names if np.unique(truth[source == name]).size == 1]
    control = max(single, key=lambda name: int((source == name).sum()), default=None)
    chosen = [(name, False) for name in both] + ([(control, True)] if control else [])
    return [item for name, is_control in chosen if (item := _one_out(bench, protocol, name, is_control)) is not None]


def _one_out(bench: Bench, protocol: str, name: str, control: bool) -> HeldOut | None:
    own = bench.sets[protocol]
    truth, tested, groups = own.truth, own.part("test"), own.column("group")
    held: Rows = own.column("source") == name
    training, validation = (own.part(part) & apart_from(groups, held) for part in ("train", "validation"))
    internal, external, seen = tested & ~held, held, tested & held
    if control:
        against = internal & (truth != truth[held][0])
        external, seen = held | against, seen | against
    if not all(both_classes(truth, rows, 1) for rows in (training, validation, internal, external)):
        return None
    bench.data.advance(f"training a probe on {protocol} without {name}")
    probe = bench.fit(own.pixels, truth, training, validation)
    scores = scores_of(probe, own.pixels, internal | external)[None]
    measured = {_INTERNAL: Scored(truth, scores, internal), _EXTERNAL: Scored(truth, scores, external)}
    if both_classes(truth, seen, 5):
        measured[_SEEN] = Scored(truth, bench.whole(protocol)[None], seen)
    figures = aucs_of(measured, groups, bench.data, ((_GAP, _INTERNAL, _EXTERNAL),))
    return HeldOut(name, control, int(truth[external].sum()), int((1 - truth[external]).sum()), figures)


def audit_swapped_sources(bench: Bench, seeds: int = SWAP_SEEDS) -> AuditPart:
    """Train on one half of the sources, test on the other, and back (DeGrave et al., 2021).

    Parameters
    ----------
    bench
        The images.
    seeds
        Trainings of each direction.
    """
    rows: list[tuple[Cell, ...]] = []
    panels: dict[str, dict[str, list[Estimate | None]]] = {}
    gaps: list[Estimate] = []
    for protocol, own in bench.sets.items():
        halves = two_halves(own)
        if halves is None:
            continue
        decision = bench.data.decision(protocol).words
        for known, unknown in (halves, halves[::-1]):
            figures, spread = _one_way(bench, own, known, unknown, seeds)
            if _GAP not in figures:
                continue
            names = " + ".join(known)
            if above_chance(figures[_INTERNAL]):
                gaps.append(figures[_GAP])
            rows.append((decision, names, figures[_INTERNAL], *spread, figures[_GAP]))
            panels.setdefault(decision, {})[_short(known)] = [figures[_INTERNAL], figures[_EXTERNAL]]
    values = [gap.value for gap in gaps if gap.value is not None]
    said = (
        "From one half of the sources to the other the AUC falls by "
        + ", ".join(f"{value:.2f}" for value in values)
        + f" (mean of {seeds} training(s) in each direction)."
        if values
        else "The sources cannot be parted into two halves from which both classes can be learned."
    )
    columns = ("Decision", "Trained on", "Internal AUC", "External AUC", "External, lowest", "External, highest", "Gap")
    figure = interval_figure(panels, ("internal", "external"), axis="AUC", chance=0.5) if panels else None
    return AuditPart(
        name="trained-swap",
        title="One half of the sources against the other",
        question="Does what is learned from one half of the sources hold on the other, and back?",
        design=(
            "Sources are parted into two halves with as even numbers of both classes as can be. A probe trains on the "
            "training and validation parts of one half; internal: the test part of that half; external: all images of "
            f"the other. {seeds} seeds for each direction: mean AUC with an interval by patient, and the range of the "
            f"seeds. Passed where the mean falls by at most {LARGEST_GAP}; probes whose internal interval reaches 0.5 "
            "are not counted. Design: DeGrave et al., 2021."
        ),
        passed=all(value <= LARGEST_GAP for value in values) if values else None,
        finding=said,
        tables=(AuditTable(f"Mean AUC of {seeds} trainings", columns, tuple(rows)),) if rows else (),
        figures=(AuditFigure("Trained on one half of the sources", figure, said),) if figure else (),
        not_to_conclude=(
            "The halves hold different diseases, ages and views, so part of a fall is honest. The range of the seeds "
            "is that of training, not of patients; both are needed. A network that trains on less data learns less."
        ),
    )


def two_halves(images: LabelledImages) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Part the sources into two halves of even numbers of both classes.

    From the largest source to the smallest, each goes to the half that leaves the classes' numbers more even.

    Returns
    -------
    tuple or None
        Names of either half; None where a half would lack a class.
    """
    counts = pd.crosstab(images.column("source"), images.truth).reindex(columns=[0, 1], fill_value=0)
    shares = counts.to_numpy(dtype=np.float64) / counts.to_numpy().sum(axis=0)
    sides = np.zeros(len(counts), dtype=np.int64)
    balance = np.zeros(2)
    for index in np.argsort(-counts.to_numpy().sum(axis=1), kind="stable"):
        sides[index] = 1 if np.sum((balance + shares[index]) ** 2) < np.sum((balance - shares[index]) ** 2) else -1
        balance += sides[index] * shares[index]
    halves = tuple(tuple(str(name) for name in counts.index[sides == side]) for side in (1, -1))
    fewest = [counts.to_numpy()[sides == side].sum(axis=0).min() for side in (1, -1)]
    return (halves[0], halves[1]) if all(halves) and min(fewest) >= FEWEST else None


def apart_from(groups: NDArray[np.str_], tested: Rows) -> Rows:
    """Rows that share no patient group with the tested ones."""
    apart: Rows = ~np.isin(groups, groups[tested])
    return apart


def _one_way(
    bench: Bench, own: LabelledImages, known: tuple[str, ...], unknown: tuple[str, ...], seeds: int
) -> tuple[dict[str, Estimate], tuple[Estimate | None, float | None, float | None]]:
    truth, groups, source = own.truth, own.column("group"), own.column("source")
    inside, outside = np.isin(source, known), np.isin(source, unknown)
    free = inside & apart_from(groups, outside)
    training, validation, internal = free & own.part("train"), free & own.part("validation"), inside & own.part("test")
    if not all(both_classes(truth, rows, 1) for rows in (training, validation, internal, outside)):
        return {}, (None, None, None)
    repeated = []
    for seed in range(bench.data.seed, bench.data.seed + seeds):
        bench.data.advance(f"swap: training on {_short(known)}, seed {seed}")
        probe = bench.fit(own.pixels, truth, training, validation, seed)
        repeated.append(scores_of(probe, own.pixels, internal | outside))
    scores = np.stack(repeated)
    measured = {_INTERNAL: Scored(truth, scores, internal), _EXTERNAL: Scored(truth, scores, outside)}
    figures = aucs_of(measured, groups, bench.data, ((_GAP, _INTERNAL, _EXTERNAL),))
    single = [auc(truth[outside], row[outside]) for row in scores]
    return figures, (figures[_EXTERNAL], min(single), max(single))


def _short(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
