"""How well a trained network names the source of images of one label, after each step of preprocessing."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cxrscreen.evaluate.audit.controls.bench import Bench, LabelledImages
from cxrscreen.evaluate.audit.controls.views import EQUALISED, LUNGS, MASK, WHOLE, view_of
from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.part import AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap, grouped_rate
from cxrscreen.evaluate.metrics import Floats

STEPS = (WHOLE, LUNGS, EQUALISED, MASK)
"""Views whose source is predicted: the image after each step of preprocessing."""
FEWEST_NORMALS = 20
"""Normal training images below which a source is left out."""
FEWEST_TESTED = 5
"""Normal test images below which a source is left out."""


def audit_trained_sources(bench: Bench) -> AuditPart:
    """Train probes to name the source of normal images."""
    normals = _normals(bench)
    sources = np.unique(normals.column("source"))
    tested = normals.part("test")
    chance = 1 / max(1, len(sources))
    measured: dict[str, tuple[Estimate, NDArray[np.str_]]] = {}
    if len(sources) >= 2:
        classes = np.searchsorted(sources, normals.column("source")).astype(np.int64)
        for view in STEPS:
            bench.data.advance(f"training a probe to name the source: {view}")
            pictures = view_of(normals, view)
            probe = bench.fit(pictures, classes, normals.part("train"), normals.part("validation"))
            named = probe(pictures[tested]).argmax(axis=1)
            measured[view] = (_balanced_accuracy(bench, normals, classes, named), sources[named])
    lows = [estimate.ci_low for estimate, _ in measured.values() if estimate.ci_low is not None]
    said = (
        f"Among normal images of {len(sources)} sources (chance {chance:.2f}), a trained network names the right one "
        "with a balanced accuracy of "
        + "; ".join(f"{shown(estimate)} from {view}" for view, (estimate, _) in measured.items())
        + "."
        if measured
        else f"Fewer than two sources have {FEWEST_NORMALS} normal training and {FEWEST_TESTED} normal test images."
    )
    panel = {view: [estimate] for view, (estimate, _) in measured.items()}
    figures: tuple[AuditFigure, ...] = ()
    if panel:
        drawn = interval_figure(
            {"normal images": panel},
            ("balanced accuracy",),
            axis="Balanced accuracy of naming the source",
            chance=chance,
        )
        figures = (AuditFigure("Sources named by a trained network, normal images", drawn, said),)
    return AuditPart(
        name="trained-sources",
        title="Source prediction by a trained network",
        question="Can a network learn which source a normal image comes from, after each step of preprocessing?",
        design=(
            f"Normal images of the sources with at least {FEWEST_NORMALS} of them for training and {FEWEST_TESTED} for "
            "testing; the probe of the other trained controls, with the source as its class; whole image, lungs only, "
            "lungs with an equalised histogram, mask alone. Balanced accuracy (mean over sources of the share named "
            "rightly) with a bootstrap interval by patient. Passed where every interval holds chance."
        ),
        passed=all(low <= chance for low in lows) if lows else None,
        finding=said,
        tables=_source_tables(measured, normals, sources, chance),
        figures=figures,
        not_to_conclude=(
            "Sources that can be told apart do not prove that a decision uses them, yet they let it. Part of the "
            "difference is honest: hospitals differ in age, sex, view and severity of their patients."
        ),
    )


def _normals(bench: Bench) -> LabelledImages:
    """Normal images of sources with enough of them, of the protocol that holds most; may be empty."""
    own = max(bench.sets.values(), key=lambda images: int((images.column("label") == "normal").sum()))
    normal, source = own.column("label") == "normal", own.column("source")
    enough = [
        name
        for name in np.unique(source[normal])
        if (normal & own.part("train") & (source == name)).sum() >= FEWEST_NORMALS
        and (normal & own.part("validation") & (source == name)).any()
        and (normal & own.part("test") & (source == name)).sum() >= FEWEST_TESTED
    ]
    return own.kept(normal & np.isin(source, enough))


def _balanced_accuracy(
    bench: Bench, normals: LabelledImages, classes: NDArray[np.int64], named: NDArray[np.intp]
) -> Estimate:
    tested = normals.part("test")
    truth = classes[tested]
    right = (named == truth).astype(np.float64)
    members = [truth == name for name in np.unique(truth)]

    def accuracy(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            recalls = [weights[:, own] @ right[own] / weights[:, own].sum(axis=1) for own in members]
        mean: Floats = np.mean(recalls, axis=0)
        return mean

    groups = normals.column("group")[tested].tolist()
    return bootstrap(accuracy, groups, replicates=bench.data.replicates, seed=bench.data.seed)


def _source_tables(
    measured: Mapping[str, tuple[Estimate, NDArray[np.str_]]],
    normals: LabelledImages,
    sources: NDArray[np.str_],
    chance: float,
) -> tuple[AuditTable, ...]:
    if not measured:
        return ()
    total = tuple((view, estimate, round(chance, 3)) for view, (estimate, _) in measured.items())
    tested = normals.part("test")
    truth, groups = normals.column("source")[tested], normals.column("group")[tested]
    by_source: tuple[tuple[Cell, ...], ...] = tuple(
        (
            str(name),
            int((normals.part("train") & (normals.column("source") == name)).sum()),
            int((truth == name).sum()),
            *(grouped_rate(named[truth == name] == name, groups[truth == name]) for _, named in measured.values()),
        )
        for name in sources
    )
    return (
        AuditTable("Balanced accuracy of naming the source", ("Trained on", "Balanced accuracy", "Chance"), total),
        AuditTable(
            "Share of each source's normal test images named rightly",
            ("Source", "Trained on (n)", "Tested (n)", *measured),
            by_source,
        ),
    )
