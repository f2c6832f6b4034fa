"""A Screening as FHIR R4B: a DiagnosticReport with one Observation a figure, for feeds that order a worklist."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

import pydicom
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.observation import Observation
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.report.dicom import codes
from cxrscreen.report.dicom.identity import asked, derived_uid
from cxrscreen.report.wording import FINDING_LABELS, TRIAGE_LABELS, stage_sentence
from cxrscreen.systems.contract import Screening, Stage
from cxrscreen.systems.triage import TriagePolicy, suggest

_UNIT_SYSTEM: Final = "http://unitsofmeasure.org"
_SYSTEMS: Final[Mapping[str, str]] = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    codes.SCHEME: f"urn:oid:{derived_uid('coding scheme')}",
}
_INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_REFERENCE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}|(https?|urn):[^\s]+")
_TAKEN: Final = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("StudyDate", "StudyTime"),
)
_ZONE: Final = "TimezoneOffsetFromUTC"
_MOMENT: Final = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.\d{0,6})?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)
"""Year, month, day, hour, minute, second and offset of a DICOM DT, as far as it goes (PS3.5 table 6.2-1)."""
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
    taken: str | None = None,
    references: References | None = None,
    cardiothoracic_ratio: float | None = None,
    server: str | None = None,
    policy: TriagePolicy | None = None,
) -> dict[str, Any]:
    """Make the FHIR bundle of a screening.

    Parameters
    ----------
    screening, study_uid, image_uid, made, taken, references, cardiothoracic_ratio, policy
        As of :func:`screening_resources`.
    server
        Base address of a server, for which the bundle is a transaction of updates by id; None: a collection.

    Returns
    -------
    dict
        JSON-ready, checked against FHIR R4B; preliminary throughout. References within it are to the entries'
        ``fullUrl``.

    Notes
    -----
    Source: FHIR R4B, Bundle 2.36.4.1 (resolving references in bundles). In a transaction a server need replace
    references to what it gives an id itself (POST) alone, so that to an update ``urn:uuid:`` might be stored as it
    stands; there the address of each resource on the server is known, and references are relative to it.
    """
    resources = screening_resources(
        screening,
        study_uid=study_uid,
        image_uid=image_uid,
        made=made,
        taken=taken,
        references=references,
        cardiothoracic_ratio=cardiothoracic_ratio,
        policy=policy,
    )
    bundle = {
        "resourceType": "Bundle",
        "type": "collection" if server is None else "transaction",
        "timestamp": resources[0]["issued"],
        "entry": [_collected(one) if server is None else _update(one, server) for one in resources],
    }
    checked: dict[str, Any] = Bundle.model_validate(bundle).model_dump(mode="json", exclude_none=True)
    return checked


def screening_resources(
    screening: Screening,
    *,
    study_uid: str,
    image_uid: str = "",
    made: datetime | None = None,
    taken: str | None = None,
    references: References | None = None,
    cardiothoracic_ratio: float | None = None,
    policy: TriagePolicy | None = None,
) -> tuple[dict[str, Any], ...]:
    """Make the FHIR resources of a screening, as a server has them: they refer to each other by type and id.

    Parameters
    ----------
    screening
        What was found, or why the radiograph was refused; then the report has no figure and says why.
    study_uid, image_uid
        Study and SOP instance UID of the image; the ids of the resources derive from them, so that a repeat replaces.
    made
        When it was screened, with its time zone (``issued``); None: now.
    taken
        When the radiograph was taken, from :func:`taken_at` (``effectiveDateTime``); None: not known, left out.
    references
        Patient, request and encounter at the receiver.
    cardiothoracic_ratio
        Where it was measured.
    policy
        Makes the suggestion for the order of work; None: the package's.

    Returns
    -------
    tuple of dict
        JSON-ready, checked against FHIR R4B: the DiagnosticReport and its Observations, preliminary.
    """
    issued = (made or datetime.now(UTC)).astimezone().isoformat(timespec="seconds")
    name = (study_uid, image_uid, asked(screening))
    shared: dict[str, Any] = {"status": "preliminary", **_context(references or References()), "issued": issued}
    if taken is not None:
        shared["effectiveDateTime"] = taken
    observations = [
        {**shared, **observation, "resourceType": "Observation", "id": _id(*name, key)}
        for key, observation in _observations(screening, cardiothoracic_ratio).items()
    ]
    report = {
        **shared,
        "resourceType": "DiagnosticReport",
        "id": _id(*name, "report"),
        "category": [_concept("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology")],
        "code": _coded(codes.CHEST_RADIOGRAPHY),
        "imagingStudy": [{"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study_uid}"}}],
        "result": [{"reference": f"Observation/{observation['id']}"} for observation in observations],
        "conclusion": _conclusion(screening, policy),
    }
    if screening.finding is not None:
        report["conclusionCode"] = [_coded(codes.FINDING_CODES[screening.finding])]
    if not observations:
        del report["result"]
    checked = (DiagnosticReport.model_validate(report), *map(Observation.model_validate, observations))
    return tuple(resource.model_dump(mode="json", exclude_none=True) for resource in checked)


def taken_at(radiograph: Radiograph) -> str | None:
    """Return when a radiograph was taken, from the header of its file, as a FHIR dateTime.

    Parameters
    ----------
    radiograph
        Its file is read again.

    Returns
    -------
    str or None
        Of the acquisition, else the content, else the study, the first with a whole day: with its time where the zone
        is known, without which FHIR wants none; else the day, the month or the year alone. None of a picture, and
        where nothing is known.

    Raises
    ------
    OSError
        If the file is not there any more.
    """
    if radiograph.provenance.format != "DICOM":
        return None
    tags = ["AcquisitionDateTime", _ZONE, *(keyword for pair in _TAKEN for keyword in pair)]
    try:
        with without_warnings():
            header = pydicom.dcmread(
                radiograph.provenance.path, stop_before_pixels=True, force=True, specific_tags=list(tags)
            )
            return _taken(header)
    except OSError:
        raise
    except Exception:
        return None


def _taken(header: Dataset) -> str | None:
    zone = _text(header, _ZONE)
    found = [_date_time(_text(header, "AcquisitionDateTime"), zone)]
    for of_date, of_time in _TAKEN:
        # the forms of ACR-NEMA, 2020.03.04 and 10:20:30, still occur
        day, moment = _text(header, of_date).replace(".", ""), _text(header, of_time).replace(":", "")
        if len(day) == len("YYYYMMDD"):
            found.append(_date_time(day + moment, zone) or _date_time(day, zone))
    known = [one for one in found if one is not None]
    return next((one for one in known if len(one) >= len("YYYY-MM-DD")), known[0] if known else None)


def _text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip()


def _date_time(text: str, zone: str) -> str | None:
    """Turn a DICOM DT into a FHIR dateTime; where it says no offset, ``zone`` does."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, own = match.groups()
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return None
    written = "-".join(part for part in (year, month, day) if part)
    offset = _offset(own or zone)
    if minute is None or offset is None:
        return written
    try:
        # a leap second has no place in most clocks
        moment = time(int(hour), int(minute), min(int(second or 0), 59))
    except ValueError:
        return written
    return f"{written}T{moment.isoformat('seconds')}{offset}"


def _offset(text: str) -> str | None:
    """Turn ``+0900`` into ``+09:00``; None for what is no offset, and for -0000, which says that it is not known."""
    if not re.fullmatch(r"[+-](0\d|1[0-3])[0-5]\d|[+-]1400", text) or text == "-0000":
        return None
    return f"{text[:3]}:{text[3:]}"


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


def _collected(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Make a resource an entry of a collection, which lies nowhere: all that names its parts are their UUIDs."""
    given = resource.get("result", ())
    results = [{"reference": f"urn:uuid:{one['reference'].removeprefix('Observation/')}"} for one in given]
    linked = {**resource, "result": results} if results else dict(resource)
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": linked}


def _update(resource: dict[str, Any], server: str) -> dict[str, Any]:
    where = f"{resource['resourceType']}/{resource['id']}"
    request = {"method": "PUT", "url": where}
    return {"fullUrl": f"{server.rstrip('/')}/{where}", "resource": resource, "request": request}


def _coded(code: Code, text: str | None = None) -> dict[str, Any]:
    return _concept(_SYSTEMS[code.scheme_designator], code.value, code.meaning, text)


def _concept(system: str, code: str, display: str, text: str | None = None) -> dict[str, Any]:
    concept: dict[str, Any] = {"coding": [{"system": system, "code": code, "display": display}]}
    return concept if text is None else {**concept, "text": text}


def _quantity(value: float) -> dict[str, Any]:
    return {"value": round(value, 4), "unit": "1", "system": _UNIT_SYSTEM, "code": "1"}


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_SPACE, "".join(f"{len(part)}:{part}" for part in parts)))
