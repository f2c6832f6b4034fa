"""The first page of an audit: what a reader must know before any figure is believed."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from cxrscreen import __version__
from cxrscreen.data.manifest import LABELS
from cxrscreen.data.protocols import PARTS, Split
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.audit.labelling import labelled_by
from cxrscreen.evaluate.audit.part import AuditData, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.untouched import protocols, score_rows, threshold_of, untouched
from cxrscreen.evaluate.audit.wording import VERDICTS
from cxrscreen.evaluate.classification import Figures, evaluate_scores
from cxrscreen.evaluate.prevalence import prevalence_table
from cxrscreen.systems.bundle import CARD, sha256_of

WORST = 5
"""Errors shown of each decision and kind, the most certain ones first."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "black lungs": ("black-lungs", "trained-views"),
    "mask only": ("trained-views",),
    "source prediction": ("sources", "trained-sources"),
    "leave one source out": ("trained-held-out",),
    "subgroups and severity": ("subgroups",),
    "explanation scores": ("saliency",),
    "sanity of explanations": ("sanity",),
    "near-duplicates across the split": ("leakage",),
}
"""Controls that an honest report holds, with the names of the parts that answer them."""

NOT_TO_CONCLUDE = (
    "That the system detects disease in patients: every figure is of public images, gathered for other ends.",
    "That a pooled AUC measures disease: where a source supplies one class, it also measures how well the source is "
    "recognised. Read the figures within sources.",
    "That it will do as well at another hospital, on other machines, views or ages than those in the tables.",
    "That predictive values hold elsewhere: they depend on how common the disease is.",
    "That a passed audit shows the absence of a fault: each one asks a single question in a single way.",
    "That labels are the truth: most were read from reports or taken over from a collection.",
)
"""Said on every first page."""


@dataclass(frozen=True)
class Section:
    """One part of the first page: sentences, then tables."""

    title: str
    sentences: tuple[str, ...] = ()
    tables: tuple[AuditTable, ...] = ()

    def content(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "title": self.title,
            "sentences": list(self.sentences),
            "tables": [table.content() for table in self.tables],
        }


def first_page(data: AuditData, parts: Sequence[AuditPart]) -> tuple[Section, ...]:
    """Gather the first page.

    Parameters
    ----------
    data
        The audit's.
    parts
        What the audits found.

    Returns
    -------
    tuple of Section
        Verdicts, what must not be concluded, use, images, split, labels, thresholds, figures, errors, hashes.
    """
    card = data.bundle.card
    return (
        _verdicts(parts),
        Section("What must not be concluded", (*NOT_TO_CONCLUDE, *card.limits)),
        Section(
            "Intended use, and what it is not for", (card.intended_use, *(f"Not for: {text}" for text in card.not_for))
        ),
        _figures(data),
        _images(data),
        _split(data),
        Section("Who labelled", (), (_labels(data),)),
        _thresholds(data),
        _errors(data),
        _hashes(data),
    )


def _verdicts(parts: Sequence[AuditPart]) -> Section:
    rows: list[tuple[Cell, ...]] = [(part.title, VERDICTS[part.passed], part.finding) for part in parts]
    answered = {part.name for part in parts if part.tables}
    missing = [what for what, names in REQUIRED.items() if answered.isdisjoint(names)]
    counts = {verdict: sum(part.passed is passed for part in parts) for passed, verdict in VERDICTS.items()}
    sentences = [", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + "."]
    if missing:
        sentences.append(f"Not answered, so nothing is known about: {', '.join(missing)}.")
    return Section(
        "What passed and what failed",
        tuple(sentences),
        (AuditTable("Each audit and its answer", ("Audit", "Verdict", "Finding"), tuple(rows)),),
    )


def _figures(data: AuditData) -> Section:
    rows: list[tuple[Cell, ...]] = []
    calibration: list[tuple[Cell, ...]] = []
    expected: list[tuple[Cell, ...]] = []
    notes: list[str] = []
    for protocol, decision in protocols(data):
        scores = score_rows(data, protocol)
        try:
            found = evaluate_scores(scores, threshold_of(data, protocol), replicates=data.replicates, seed=data.seed)
        except ManifestError as error:
            notes.append(f"{decision}: {error}")
            continue
        pooled = "all sources pooled"
        rows += [(decision, source, *_cells(figures, _RANKING)) for source, figures in found.within.items()]
        if found.mean_within_source_auc is not None:
            rows.append((decision, "mean within sources", None, None, found.mean_within_source_auc, *[None] * 4))
        rows.append((decision, pooled, *_cells(found.pooled, _RANKING)))
        calibration += [(decision, source, *_cells(figures, _CALIBRATION)) for source, figures in found.within.items()]
        calibration.append((decision, pooled, *_cells(found.pooled, _CALIBRATION)))
        expected += _expected(decision, found.pooled)
        if found.one_class:
            names = ", ".join(found.one_class)
            notes.append(f"{decision}: one class only in {names}; they count in the pooled rows alone.")
    head = ("Decision", "Images", "n+", "n-")
    return Section(
        "Figures on the test part (internal: its sources are those of the training images)",
        tuple(notes),
        (
            AuditTable(
                "Ranking, and decisions at the operating point; 95 % intervals by patient",
                (*head, *_RANKING.values()),
                tuple(rows),
            ),
            AuditTable("Calibration; 95 % intervals by patient", (*head, *_CALIBRATION.values()), tuple(calibration)),
            AuditTable(
                "Expected per 1000 persons, were the pooled sensitivity and specificity to hold elsewhere",
                ("Decision", "Prevalence", "True +", "False +", "False -", "True -", "PPV", "NPV"),
                tuple(expected),
            ),
        ),
    )


_RANKING = {
    "auc": "AUC",
    "sensitivity_at_specificity_0.90": "Sensitivity at specificity 0.90",
    "sensitivity_at_specificity_0.95": "Sensitivity at specificity 0.95",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
_CALIBRATION = {
    "ece": "ECE (0 is best)",
    "brier": "Brier (0 is best)",
    "calibration_slope": "Slope (1 is best)",
    "calibration_intercept": "Intercept (0 is best)",
}


def _cells(figures: Figures, names: Mapping[str, str]) -> list[Cell]:
    return [figures.positives, figures.negatives, *(figures.estimates.get(name) for name in names)]


def _expected(decision: str, pooled: Figures) -> list[tuple[Cell, ...]]:
    sensitivity, specificity = pooled.estimates["sensitivity"], pooled.estimates["specificity"]
    if sensitivity.value is None or specificity.value is None:
        return []
    return [
        (
            decision,
            f"{row.prevalence:.0%}",
            *(round(n) for n in (row.true_positive, row.false_positive, row.false_negative, row.true_negative)),
            row.ppv,
            row.npv,
        )
        for row in prevalence_table(sensitivity, specificity)
    ]


def _images(data: AuditData) -> Section:
    used = sorted({image_id for protocol in data.splits for image_id in data.images(protocol)})
    table = data.manifest.table.loc[used]
    counts = pd.crosstab(table["source"], table["label"])
    tested = {str(source): {str(label): int(n) for label, n in row.items()} for source, row in counts.iterrows()}
    failures = untouched(data).failures
    sentences = [
        f"{len(used)} test images asked for, {len(used) - len(failures)} screened, {len(failures)} failed"
        + (" (failures.csv says why)." if failures else ".")
    ]
    whole = sorted({image_id for split in data.splits.values() for image_id in split.test})
    if len(whole) > len(used):
        sentences.append(f"A trial on {len(used)} of {len(whole)} test images drawn by the seed, not the result.")
    return Section(
        "Images: sources and labels",
        tuple(sentences),
        (
            _by_source("Test images of this audit", tested),
            _by_source("Training images, as the card states", data.bundle.card.data.images),
        ),
    )


def _by_source(title: str, counts: Mapping[str, Mapping[str, int]]) -> AuditTable:
    labels = [label for label in LABELS if any(label in row for row in counts.values())]
    rows: list[tuple[Cell, ...]] = [
        (source, *(row.get(label) or None for label in labels), sum(row.values())) for source, row in counts.items()
    ]
    totals = [sum(row.get(label, 0) for row in counts.values()) for label in labels]
    rows.append(("total", *totals, sum(totals)))
    return AuditTable(title, ("Source", *labels, "total"), tuple(rows))


def _split(data: AuditData) -> Section:
    rows: list[tuple[Cell, ...]] = []
    named = data.bundle.card.data.splits
    for protocol, split in data.splits.items():
        rows.append(
            (
                protocol,
                *(len(split.part(part)) for part in PARTS),
                _shared(split, split.groups),
                _shared(split, _patients(data, split)),
                named.get(protocol) == split.digest,
                split.digest[:16],
            )
        )
    columns = ("Protocol", *(f"{part} images" for part in PARTS), "Groups in two parts", "Patients in two parts")
    table = AuditTable(
        "Counted on the split that was used",
        (*columns, "The split of the card", "Digest"),
        tuple(rows),
    )
    sentences = [
        "Images of one patient, and copies of one image, form a group; groups are drawn into train, validation and "
        f"test within each source and label, seed {data.seed}. No group may stand in two parts.",
        "Patients are known only where the source numbers them; images without a number count as a patient each.",
    ]
    sentences += [
        f"Left out of {name}: " + ", ".join(f"{count} images, {rule}" for rule, count in split.dropped.items()) + "."
        for name, split in data.splits.items()
    ]
    if any(row[6] is False for row in rows):
        sentences.append(
            "A split is not the one that the card names: the model may have seen test images in its training."
        )
    return Section("Split rule, and proof that parts do not overlap", tuple(sentences), (table,))


def _patients(data: AuditData, split: Split) -> dict[str, str]:
    table = data.manifest.table.loc[list(split.groups)]
    known = table[table["patient_id"] != ""]
    return dict(zip(known["image_id"], known["source"] + " " + known["patient_id"], strict=True))


def _shared(split: Split, owner: Mapping[str, str]) -> int:
    """How many owners have images in more than one part."""
    parts = [{owner[image_id] for image_id in split.part(part) if image_id in owner} for part in PARTS]
    return len((parts[0] & parts[1]) | (parts[0] & parts[2]) | (parts[1] & parts[2]))


def _labels(data: AuditData) -> AuditTable:
    used = sorted({image_id for protocol in data.splits for image_id in data.images(protocol)})
    sources = sorted(set(data.manifest.table.loc[used, "source"]))
    rows = tuple((source, *labelled_by(source)) for source in sources)
    return AuditTable("As the sources state", ("Source", "Labelled by", "COVID-19 shown by"), rows)


def _thresholds(data: AuditData) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for protocol, decision in protocols(data):
        stage = data.bundle.card.stages[data.decision(protocol).stage]
        point = stage.point()
        rows.append((decision, stage.default, point.threshold, point.rule, point.site, stage.temperature))
    columns = ("Decision", "Operating point", "Threshold", "Rule", "Chosen on", "Temperature")
    return Section(
        "Threshold rule",
        ("Thresholds stand in the card, belong to this version of the model, and were not moved for this audit.",),
        (AuditTable("Operating points in use", columns, tuple(rows)),),
    )


def _errors(data: AuditData) -> Section:
    rows = [row for protocol, decision in protocols(data) for row in _worst(data, protocol, decision)]
    columns = ("Decision", "Kind of error", "Source", "Label", "Score", "Row of scores.csv")
    return Section(
        "Failures: the most certain errors",
        ("Look at these images before the figures are believed; scores.csv names them.",),
        (AuditTable(f"Up to {WORST} of each kind", columns, tuple(rows)),),
    )


def _worst(data: AuditData, protocol: str, decision: str) -> Iterator[tuple[Cell, ...]]:
    scores, threshold = score_rows(data, protocol), threshold_of(data, protocol)
    number = {image_id: row for row, image_id in enumerate(untouched(data).scores.index, start=1)}
    called = scores["score"] >= threshold
    for kind, wrong, ascending in (
        ("called positive, is negative", called & (scores["truth"] == 0), False),
        ("called negative, is positive", ~called & (scores["truth"] == 1), True),
    ):
        for row in scores[wrong].sort_values("score", ascending=ascending, kind="stable").head(WORST).itertuples():
            yield decision, kind, str(row.source), str(row.label), float(str(row.score)), number[str(row.image_id)]


def _hashes(data: AuditData) -> Section:
    bundle = data.bundle
    rows: list[tuple[Cell, ...]] = [
        ("Model", bundle.card.bundle_id, ""),
        ("Model card", CARD, sha256_of(bundle.file(CARD))),
        *(("Model file", name, digest) for name, digest in bundle.card.files.items()),
        ("Training images", "fingerprint in the card", bundle.card.data.images_sha256),
        ("Images of this audit", "manifest table", manifest_digest(data)),
        *(("Split", f"{name}, seed {split.seed}", split.digest) for name, split in data.splits.items()),
        ("Software", f"cxrscreen {__version__}", code_digest()),
    ]
    return Section(
        "Model, data and code",
        (f"{data.replicates} bootstrap resamples of patient groups, seed {data.seed}.",),
        (AuditTable("SHA-256", ("What", "Name", "Digest"), tuple(rows)),),
    )


def manifest_digest(data: AuditData) -> str:
    """SHA-256 over the manifest's rows, in the order of their ids."""
    return hashlib.sha256(data.manifest.table.sort_index().to_csv(index=False).encode()).hexdigest()


def code_digest() -> str:
    """SHA-256 over the Python files of this software, so that a changed checkout is told from a release."""
    root = Path(str(resources.files("cxrscreen")))
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
