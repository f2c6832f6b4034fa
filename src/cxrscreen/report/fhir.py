"""A Screening as FHIR R4B: a DiagnosticReport with one Observation a figure, for feeds that order a worklist."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from fhir.resources.R4B.bundle import Bundle
from pydicom.sr.coding import Code

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.dicom import codes
from cxrscreen.report.dicom.identity import asked, derived_uid
from cxrscreen.report.wording import FINDING_LABELS, TRIAGE_LABELS, stage_sentence
from cxrscreen.systems.contract import Screening, Stage
from cxrscreen.systems.triage import TriagePolicy, suggest

Kind = Literal["collection", "transaction"]
_UNIT_SYSTEM: Final = "http://unitsofmeasure.org"
_SYSTEMS: Final[Mapping[str, str]] = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    codes.SCHEME: f"urn:oid:{derived_uid('coding scheme')}",
}
_INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_REFERENCE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}|(https?|urn):[^\s]+")
_SPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:cxrscreen:fhir")


@dataclass(frozen=True)
class References:
    """What the resources refer to at the receiver; nothing of a patient is in them beside this.

    Parameters
    ----------
    subject, based_on, encounter
        For example ``"Patient/17"``, ``"ServiceRequest/4"``, ``"Encounter/9"``, or a URL; None: left out.

    Raises
    ------
    ValueError
        If one is neither.
    """

    subject: str | None = None
    based_on: str | None = None
    encounter: str | None = None

    def __post_init__(self) -> None:
        for reference in (self.subject, self.based_on, self.encounter):
            if reference is not None and not _REFERENCE.fullmatch(reference):
                raise ValueError("a reference is a type and an id, as in Patient/17, or a URL")


def screening_bundle(
    screening: Screening,
    *,
    study_uid: str,
    image_uid: str = "",
    made: datetime | None = None,
    references: References | None = None,
    cardiothoracic_ratio: float | None = None,
    kind: Kind = "collection",
    policy: TriagePolicy | None = None,
) -> dict[str, Any]:
    """Make the FHIR bundle of a screening.

    Parameters
    ----------
    screening
        What was found, or why the radiograph was refused; then the report has no figure and says why.
    study_uid, image_uid
        Study and SOP instance UID of the image; the ids of the resources derive from them, so that a repeat replaces.
    made
        When, with its time zone; None: now.
    references
        Patient, request and encounter at the receiver.
    cardiothoracic_ratio
        Where it was measured.
    kind
        ``"transaction"``: a server takes it as updates by id; ``"collection"``: just the resources.
    policy
        Makes the suggestion for the order of work; None: the package's.

    Returns
    -------
    dict
        JSON-ready, checked against FHIR R4B; preliminary throughout.

    """
    when = (made or datetime.now(UTC)).astimezone().isoformat(timespec="seconds")
    name = (study_uid, image_uid, asked(screening))
    shared: dict[str, Any] = {"status": "preliminary", **_context(references or References())}
    observations = [
        {**shared, "effectiveDateTime": when, **observation, "resourceType": "Observation", "id": _id(*name, key)}
        for key, observation in _observations(screening, cardiothoracic_ratio).items()
    ]
    report = {
        **shared,
        "resourceType": "DiagnosticReport",
        "id": _id(*name, "report"),
        "category": [_concept("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology")],
        "code": _coded(codes.CHEST_RADIOGRAPHY),
        "issued": when,
        "imagingStudy": [{"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study_uid}"}}],
        "result": [{"reference": f"Observation/{observation['id']}"} for observation in observations],
        "conclusion": _conclusion(screening, policy),
    }
    if screening.finding is not None:
        report["conclusionCode"] = [_coded(codes.FINDING_CODES[screening.finding])]
    if not observations:
        del report["result"]
    bundle = {
        "resourceType": "Bundle",
        "type": kind,
        "timestamp": when,
        "entry": [_entry(resource, kind) for resource in (report, *observations)],
    }
    checked: dict[str, Any] = Bundle.model_validate(bundle).model_dump(mode="json", exclude_none=True)
    return checked


def _observations(screening: Screening, ratio: float | None) -> dict[str, dict[str, Any]]:
    """One for each figure, by a key that is part of its id."""
    if screening.status == "refused" or screening.triage_score is None:
        return {}
    made_by = {"device": {"display": f"{screening.bundle}, cxrscreen {__version__}"}, "note": [{"text": RESEARCH_USE}]}
    found = {"triage": {"code": _coded(codes.TRIAGE_SCORE), "valueQuantity": _quantity(screening.triage_score)}}
    found |= {f"stage {stage.name}": _decision(stage) for stage in screening.stages if stage.probability is not None}
    if ratio is not None:
        found["ctr"] = {"code": _coded(codes.CARDIOTHORACIC_RATIO), "valueQuantity": _quantity(ratio)}
    return {key: {**observation, **made_by} for key, observation in found.items()}


def _decision(stage: Stage) -> dict[str, Any]:
    code, word = ("POS", "Positive") if stage.positive else ("NEG", "Negative")
    # The code says what the figure is; which disease it is about is the component's matter, so that a probability
    # below the threshold is never read as the disease.
    return {
        "code": _coded(codes.PROBABILITY, f"Probability: {stage.title}"),
        "valueQuantity": _quantity(stage.probability or 0.0),
        "interpretation": [_concept(_INTERPRETATION, code, word, stage_sentence(stage))],
        "component": [
            {"code": _coded(codes.THRESHOLD), "valueQuantity": _quantity(stage.threshold)},
            {"code": _coded(codes.DECISION), "valueCodeableConcept": _coded(codes.stage_code(stage.name), stage.title)},
        ],
    }


def _conclusion(screening: Screening, policy: TriagePolicy | None) -> str:
    suggestion = suggest(screening, policy)
    if screening.finding is None:
        answer = " ".join(("Not screened.", *screening.verdict.sentences))
    else:
        answer = f"The system's answer: {FINDING_LABELS[screening.finding]}."
    order = f"Suggested order of work: {TRIAGE_LABELS[suggestion.action][0]}. {suggestion.reason}"
    warnings = [sentence for sentence in screening.warnings if sentence not in answer]
    return " ".join((RESEARCH_USE, answer, *warnings, order))


def _context(references: References) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if references.subject:
        found["subject"] = {"reference": references.subject}
    if references.encounter:
        found["encounter"] = {"reference": references.encounter}
    if references.based_on:
        found["basedOn"] = [{"reference": references.based_on}]
    return found


def _entry(resource: dict[str, Any], kind: Kind) -> dict[str, Any]:
    where = f"{resource['resourceType']}/{resource['id']}"
    entry: dict[str, Any] = {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
    return {**entry, "request": {"method": "PUT", "url": where}} if kind == "transaction" else entry


def _coded(code: Code, text: str | None = None) -> dict[str, Any]:
    return _concept(_SYSTEMS[code.scheme_designator], code.value, code.meaning, text)


def _concept(system: str, code: str, display: str, text: str | None = None) -> dict[str, Any]:
    concept: dict[str, Any] = {"coding": [{"system": system, "code": code, "display": display}]}
    return concept if text is None else {**concept, "text": text}


def _quantity(value: float) -> dict[str, Any]:
    return {"value": round(value, 4), "unit": "1", "system": _UNIT_SYSTEM, "code": "1"}


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_SPACE, "".join(f"{len(part)}:{part}" for part in parts)))
