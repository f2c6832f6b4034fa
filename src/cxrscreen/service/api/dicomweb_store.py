"""STOW-RS: DICOM instances come in by HTTP (DICOM PS3.18 section 10.5)."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from cxrscreen.dicom_node.instance import DOES_NOT_MATCH, STORED_CLASSES, TOO_LARGE
from cxrscreen.service.api.asking import AuditLog, Reader
from cxrscreen.service.api.dicomweb_address import JSON, PREFIX, Attributes, Uid, address, base_of, element
from cxrscreen.service.context import Context, Here
from cxrscreen.service.dicom_multipart import Part, boundary_of, parts
from cxrscreen.service.dicom_store import COERCED, Stored, store_instance
from cxrscreen.service.intake import Sender
from cxrscreen.service.problems import ServiceError

router = APIRouter(prefix=PREFIX, tags=["DICOMweb"])

SOP_CLASS_NOT_TAKEN: Final = 0x0122
"""Failure reason for a SOP class that is not taken (PS3.18 annex I.2.2)."""
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {'multipart/related; type="application/dicom"': {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/studies", openapi_extra=_BODY, response_class=JSONResponse)
async def store(request: Request, asking: Reader, here: Here, log: AuditLog) -> Response:
    """Take instances in; what is stored is durable when this answers, and is screened after.

    200: all are stored. 202: some are not, or their names and numbers were taken out. 409: none is.
    """
    return await _store(request, Sender(asking.name, "dicomweb"), here, log, None)


@router.post("/studies/{study_uid}", openapi_extra=_BODY, response_class=JSONResponse)
async def store_in_study(study_uid: Uid, request: Request, asking: Reader, here: Here, log: AuditLog) -> Response:
    """Take instances of one study in; those of another one are refused."""
    return await _store(request, Sender(asking.name, "dicomweb"), here, log, study_uid)


async def _store(request: Request, sender: Sender, here: Context, log: AuditLog, study_uid: str | None) -> Response:
    boundary = boundary_of(request.headers.get("content-type", ""))
    settings = here.settings
    found: list[Stored] = []

    def stored(part: Part) -> Stored:
        if part.too_large:
            return Stored(None, failure=TOO_LARGE, sentence="The instance is larger than is read")
        return store_instance(here, part.content.read(), sender, study_uid)

    try:
        # One after the other, so that no more than one instance is held, however many are sent.
        async for part in parts(request.stream(), boundary, largest=settings.max_file_bytes, most=settings.max_files):
            found.append(await run_in_threadpool(stored, part))
    finally:
        # What was stored before the body broke off stays.
        if found:
            done = [one for one in found if one.failure is None]
            await run_in_threadpool(log, "dicomweb.stored", "service", None, instances=len(found), stored=len(done))
    if not found:
        raise ServiceError("The body holds no instance; send one or more.")
    answer = answer_of(found, base_of(request, here))
    return JSONResponse(answer, status_of(found), media_type=JSON, headers={"Cache-Control": "no-store"})


def status_of(found: list[Stored]) -> HTTPStatus:
    """Return the status for what became of all instances (PS3.18 table 10.5.3-1)."""
    if all(one.failure is not None for one in found):
        return HTTPStatus.CONFLICT
    plain = all(one.failure is None and not one.coerced for one in found)
    return HTTPStatus.OK if plain else HTTPStatus.ACCEPTED


def answer_of(found: list[Stored], base: str) -> Attributes:
    """Write the Store Instances Response (PS3.18 annex I)."""
    kept = [_reference(one, base) for one in found if one.failure is None]
    failed = [_failure(one) for one in found if one.failure is not None and one.instance is not None]
    other = [_failure(one) for one in found if one.failure is not None and one.instance is None]
    studies = {one.known_as[0] for one in found if one.known_as is not None}
    answer: Attributes = {}
    for tag, items in (("00081199", kept), ("00081198", failed), ("0008119A", other)):
        if items:
            answer |= {tag: {"vr": "SQ", "Value": items}}
    if len(studies) == 1:
        answer |= element("00081190", "UR", address(base, studies.pop()))
    return answer


def _reference(one: Stored, base: str) -> Attributes:
    item = _named(one)
    if one.known_as is not None and one.series_instance_uid is not None:
        study, instance = one.known_as
        item |= element("00081190", "UR", address(base, study, one.series_instance_uid, instance))
    if one.coerced:
        item |= element("00081196", "US", COERCED)
    return item


def _failure(one: Stored) -> Attributes:
    reason = one.failure
    if reason == DOES_NOT_MATCH and one.instance is not None and one.instance.sop_class_uid not in STORED_CLASSES:
        reason = SOP_CLASS_NOT_TAKEN
    return {**_named(one), **element("00081197", "US", reason)}


def _named(one: Stored) -> Attributes:
    if one.instance is None:
        return {}
    return {
        **element("00081150", "UI", one.instance.sop_class_uid),
        **element("00081155", "UI", one.instance.sop_instance_uid),
    }
