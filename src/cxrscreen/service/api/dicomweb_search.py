"""QIDO-RS: searches for studies, series and instances (DICOM PS3.18 section 10.6)."""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydicom.datadict import tag_for_keyword

from cxrscreen.service.api.asking import AuditLog, Viewer
from cxrscreen.service.api.dicomweb_address import JSON, PREFIX, Attributes, Uid, address, base_of, element
from cxrscreen.service.context import Context, Here
from cxrscreen.service.dicom_search import Found, Level, Query, find, parse_query
from cxrscreen.service.problems import ServiceError

router = APIRouter(prefix=PREFIX, tags=["DICOMweb"])

_USUAL: Final[dict[Level, tuple[str, ...]]] = {
    "study": (
        "SpecificCharacterSet",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "TimezoneOffsetFromUTC",
        "StudyDescription",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyID",
    ),
    "series": (
        "SpecificCharacterSet",
        "Modality",
        "TimezoneOffsetFromUTC",
        "SeriesDescription",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SeriesNumber",
        "SeriesDate",
        "SeriesTime",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
    ),
    "instance": (
        "SpecificCharacterSet",
        "SOPClassUID",
        "SOPInstanceUID",
        "TimezoneOffsetFromUTC",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "InstanceNumber",
        "Rows",
        "Columns",
        "BitsAllocated",
        "NumberOfFrames",
    ),
}
"""Attributes that are given unasked (PS3.18 tables 10.6.3-3 to 10.6.3-5)."""
_HEADERS: Final = {"Cache-Control": "no-store"}


@router.get("/studies", response_class=JSONResponse)
def studies(request: Request, _asking: Viewer, here: Here, log: AuditLog) -> Response:
    """Search for studies."""
    return _answer(request, here, log, "study", {})


@router.get("/series", response_class=JSONResponse)
def all_series(request: Request, _asking: Viewer, here: Here, log: AuditLog) -> Response:
    """Search for series of any study."""
    return _answer(request, here, log, "series", {})


@router.get("/instances", response_class=JSONResponse)
def all_instances(request: Request, _asking: Viewer, here: Here, log: AuditLog) -> Response:
    """Search for instances of any study."""
    return _answer(request, here, log, "instance", {})


@router.get("/studies/{study_uid}/series", response_class=JSONResponse)
def series(study_uid: Uid, request: Request, _asking: Viewer, here: Here, log: AuditLog) -> Response:
    """Search for series of a study."""
    return _answer(request, here, log, "series", {"StudyInstanceUID": study_uid})


@router.get("/studies/{study_uid}/instances", response_class=JSONResponse)
def instances(study_uid: Uid, request: Request, _asking: Viewer, here: Here, log: AuditLog) -> Response:
    """Search for instances of a study."""
    return _answer(request, here, log, "instance", {"StudyInstanceUID": study_uid})


@router.get("/studies/{study_uid}/series/{series_uid}/instances", response_class=JSONResponse)
def instances_of_series(
    study_uid: Uid, series_uid: Uid, request: Request, _asking: Viewer, here: Here, log: AuditLog
) -> Response:
    """Search for instances of a series."""
    return _answer(request, here, log, "instance", {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid})


def _answer(request: Request, here: Context, log: AuditLog, level: Level, within: dict[str, str]) -> Response:
    asked, fuzzy = parse_query(request.query_params.multi_items())
    for keyword in asked.included - {"all"}:
        # Of a group that repeats, such as overlays: the keyword stands for many tags.
        if tag_for_keyword(keyword) is None:
            raise ServiceError(f"{keyword} is not given by searches; ask for the metadata or the instance.")
    query = Query({**asked.matches, **within}, asked.included, asked.limit, asked.offset)
    base = base_of(request, here)
    with here.database.reading() as session:
        found, more = find(session, level, query)
        lines = [line_of(one, level, query.included, base) for one in found]
    log("dicomweb.searched", "service", None, sparsely=True, level=level, found=len(lines))
    said = []
    if fuzzy:
        said.append("The fuzzymatching parameter is not supported. Only literal matching has been performed.")
    if more:
        said.append("There are additional results that can be requested.")
    headers = _HEADERS | ({"Warning": ", ".join(f'299 cxrscreen "{text}"' for text in said)} if said else {})
    return JSONResponse(lines, media_type=JSON, headers=headers)


def line_of(one: Found, level: Level, included: frozenset[str], base: str) -> Attributes:
    """Write one line of an answer in the DICOM JSON model."""
    row = one.instance
    wanted = {*_USUAL["study"], *_USUAL[level], *included} - {"all"}
    if level != "instance":
        wanted -= {"SOPClassUID", "SOPInstanceUID", "InstanceNumber"}
    tags = {f"{tag_for_keyword(keyword):08X}" for keyword in wanted}
    everything = "all" in included and level == "instance"
    line: Attributes = {tag: value for tag, value in row.header.items() if everything or tag in tags}
    line |= element("00080056", "CS", "ONLINE")
    if level == "study":
        line |= element("00080061", "CS", *one.modalities)
        line |= element("00201206", "IS", one.series)
        line |= element("00201208", "IS", one.instances)
        line |= element("00081190", "UR", address(base, row.study_instance_uid))
    elif level == "series":
        line |= element("00201209", "IS", one.instances)
        line |= element("00081190", "UR", address(base, row.study_instance_uid, row.series_instance_uid))
    else:
        line |= element("00083002", "UI", row.transfer_syntax_uid)
        place = address(base, row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
        line |= element("00081190", "UR", place)
    return dict(sorted(line.items()))
