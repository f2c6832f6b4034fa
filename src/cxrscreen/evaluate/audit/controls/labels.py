"""Controls whose answer is known beforehand: shuffled labels teach nothing, a planted mark must be found."""

import numpy as np
from numpy.typing import NDArray

from cxrscreen.evaluate.audit.controls.bench import (
    FEWEST,
    Bench,
    LabelledImages,
    Pictures,
    Rows,
    Scored,
    aucs_of,
    both_classes,
    scores_of,
)
from cxrscreen.evaluate.audit.controls.views import BLACK, LUNGS, view_of
from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.part import AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate

AGREEMENT = 0.95
"""Share of positives that carry the planted mark, and of negatives that do not."""
MARK_SIDE = 0.08
"""Height of the planted letter, as a share of the side."""
MARK_INSET = 0.03
"""Its distance from the corner, as a share of the side."""

_PLAIN, _AGREES, _REVERSED = "no mark in the test", "mark as in training", "mark reversed"
_FROM_BLACK, _FROM_LUNGS = "shuffled labels, lungs blanked", "shuffled labels, lungs only"
_PLANTED = (_PLAIN, _AGREES, _REVERSED, _FROM_BLACK, _FROM_LUNGS)


def audit_permuted_labels(bench: Bench) -> AuditPart:
    """Train and test on shuffled labels: the interval must hold 0.5."""
    measured: dict[str, Estimate] = {}
    for protocol, own in bench.sets.items():
        shuffled = shuffled_by_group(own, bench.data.seed)
        tested = own.part("test")
        if not both_classes(shuffled, tested):
            continue
        bench.data.advance(f"training a probe on shuffled labels of {protocol}")
        probe = bench.fit(own.pixels, shuffled, own.part("train"), own.part("validation"))
        scored = Scored(shuffled, scores_of(probe, own.pixels, tested)[None], tested)
        measured[protocol] = aucs_of({"auc": scored}, own.column("group"), bench.data)["auc"]
    verdicts = [_holds_chance(estimate) for estimate in measured.values()]
    said = (
        "Trained and tested on shuffled labels the AUC is "
        + "; ".join(f"{shown(estimate)} for {bench.data.decision(p).words}" for p, estimate in measured.items())
        + ", where 0.5 is right."
        if measured
        else f"The test parts hold fewer than {FEWEST} images of a class."
    )
    rows: list[tuple[Cell, ...]] = [(bench.data.decision(p).words, estimate) for p, estimate in measured.items()]
    figures: tuple[AuditFigure, ...] = ()
    if measured:
        panel = {bench.data.decision(p).words: [estimate] for p, estimate in measured.items()}
        drawn = interval_figure({"shuffled labels": panel}, ("AUC",), axis="AUC", chance=0.5)
        figures = (AuditFigure("Shuffled labels", drawn, said),)
    return AuditPart(
        name="trained-permuted",
        title="Shuffled labels",
        question="Does the whole chain of split, training and measuring find nothing where there is nothing to find?",
        design=(
            "Labels are shuffled between patients over all three parts, so that images of one patient keep one label; "
            "a probe trains on them and is tested on them. Only patients or copies that stand in several parts, or a "
            "fault of the measurement, can lift the AUC. Passed where every interval holds 0.5."
        ),
        passed=all(verdicts) if verdicts else None,
        finding=said,
        tables=(AuditTable("AUC with shuffled labels", ("Decision", "AUC"), tuple(rows)),) if rows else (),
        figures=figures,
        not_to_conclude=(
            "One interval in twenty misses 0.5 by chance. Passing shows that the instrument is sound, not that the "
            "true labels are learned for the right reason."
        ),
    )


def audit_planted_shortcut(bench: Bench) -> AuditPart:
    """Plant a mark that goes with the label: the audit must find it."""
    measured = {protocol: found for protocol, own in bench.sets.items() if (found := _planted(bench, protocol, own))}
    verdicts = [_found(aucs) for aucs in measured.values()]
    parts = [
        f"{bench.data.decision(p).words}: AUC {shown(f[_AGREES])} where the mark agrees, {shown(f[_REVERSED])} where "
        f"it is reversed; on shuffled labels {shown(f[_FROM_BLACK])} with the lungs blanked and "
        f"{shown(f[_FROM_LUNGS])} from the lungs alone"
        for p, f in measured.items()
    ]
    said = "; ".join(parts) + "." if parts else f"The test parts hold fewer than {FEWEST} images of a class."
    rows: list[tuple[Cell, ...]] = [
        (bench.data.decision(p).words, *(aucs[name] for name in _PLANTED)) for p, aucs in measured.items()
    ]
    figures: tuple[AuditFigure, ...] = ()
    if measured:
        panels = {bench.data.decision(p).words: {name: [f[name]] for name in _PLANTED} for p, f in measured.items()}
        drawn = interval_figure(panels, ("AUC",), axis="AUC", chance=0.5)
        figures = (AuditFigure("A planted mark", drawn, said),)
    return AuditPart(
        name="trained-planted",
        title="A planted shortcut",
        question="If the images held a mark that goes with the label, would this audit find it?",
        design=(
            f"A bright letter of {MARK_SIDE:.0%} of the side is drawn into the upper left corner of {AGREEMENT:.0%} "
            f"of the positive and {1 - AGREEMENT:.0%} of the negative images of training and validation. A probe "
            "trained on them is tested without mark, with the mark as in training, and with it reversed. Then labels "
            "are shuffled between patients, so that the mark is all there is to learn, and probes are trained with the "
            "lungs blanked and on the lungs only. Found where the interval with the mark as in training lies above the "
            "one with it reversed, and the interval with the lungs blanked lies above 0.5 and above the one from the "
            "lungs alone. After the idea of CovariateDataset in TorchXRayVision."
        ),
        passed=all(verdicts) if verdicts else None,
        finding=said,
        tables=(AuditTable("AUC with a planted mark", ("Decision", *_PLANTED), tuple(rows)),) if rows else (),
        figures=figures,
        not_to_conclude=(
            "That a plain mark is found does not show that every shortcut would be: a shade of grey or a sharpness "
            "that lies over the lungs too would not be seen by blanking them."
        ),
    )


def shuffled_by_group(images: LabelledImages, seed: int) -> NDArray[np.int64]:
    """Truth (n,) shuffled between patient groups; all images of a group get one label."""
    _, first, member = np.unique(images.column("group"), return_index=True, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(images.truth[first])
    labels: NDArray[np.int64] = drawn[member]
    return labels


def planted(pictures: Pictures, marked: Rows) -> Pictures:
    """Draw a bright letter L into the upper left corner of some pictures, uint8 (n, S, S); the others stay."""
    side = pictures.shape[1]
    size, inset = max(4, round(MARK_SIDE * side)), max(1, round(MARK_INSET * side))
    stroke = max(1, size // 4)
    result = pictures.copy()
    chosen = np.flatnonzero(marked)
    result[chosen, inset : inset + size, inset : inset + stroke] = 255
    result[chosen, inset + size - stroke : inset + size, inset : inset + size] = 255
    return result


def drawn_marks(labels: NDArray[np.int64], agreement: float, seed: int) -> Rows:
    """Which images carry the mark: the positives with probability ``agreement``, the negatives with the rest."""
    chance = np.where(labels == 1, agreement, 1 - agreement)
    marks: Rows = np.random.default_rng(seed).random(labels.size) < chance
    return marks


def _planted(bench: Bench, protocol: str, own: LabelledImages) -> dict[str, Estimate] | None:
    truth, tested, seed = own.truth, own.part("test"), bench.data.seed
    shuffled = shuffled_by_group(own, seed)
    if not (both_classes(truth, tested) and both_classes(shuffled, tested)):
        return None
    training, validation = own.part("train"), own.part("validation")
    agreeing = planted(own.pixels, drawn_marks(truth, AGREEMENT, seed))
    bench.data.advance(f"training a probe on {protocol} with a planted mark")
    probe = bench.fit(agreeing, truth, training, validation)
    tests = {
        _PLAIN: own.pixels,
        _AGREES: agreeing,
        _REVERSED: planted(own.pixels, drawn_marks(truth, 1 - AGREEMENT, seed)),
    }
    measured = {
        name: Scored(truth, scores_of(probe, pictures, tested)[None], tested) for name, pictures in tests.items()
    }
    marked = own.with_pixels(planted(own.pixels, drawn_marks(shuffled, AGREEMENT, seed)))
    for name, view in ((_FROM_BLACK, BLACK), (_FROM_LUNGS, LUNGS)):
        bench.data.advance(f"training a probe on {protocol} with a planted mark: {name}")
        pictures = view_of(marked, view)
        blind = bench.fit(pictures, shuffled, training, validation)
        measured[name] = Scored(shuffled, scores_of(blind, pictures, tested)[None], tested)
    return aucs_of(measured, own.column("group"), bench.data)


def _found(figures: dict[str, Estimate]) -> bool:
    blanked = figures[_FROM_BLACK]
    return (
        _above(figures[_AGREES], figures[_REVERSED])
        and _above(blanked, figures[_FROM_LUNGS])
        and blanked.ci_low is not None
        and blanked.ci_low > 0.5
    )


def _above(first: Estimate, second: Estimate) -> bool:
    return first.ci_low is not None and second.ci_high is not None and first.ci_low > second.ci_high


def _holds_chance(estimate: Estimate) -> bool:
    return estimate.ci_low is not None and estimate.ci_high is not None and estimate.ci_low <= 0.5 <= estimate.ci_high
