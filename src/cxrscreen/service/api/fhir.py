"""FHIR R4: the reports and observations of screenings, to be read (not a whole FHIR server)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import func, select

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.service.api.asking import AuditLog, Viewer
from cxrscreen.service.context import Context, Here
from cxrscreen.service.problems import NotFoundError, ServiceError
from cxrscreen.service.store.exchange import FhirResource

router = APIRouter(prefix="/fhir", tags=["FHIR"])

MEDIA_TYPE: Final = "application/fhir+json"
Uuid = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="Of a resource.")]
StudyUid = Annotated[
    str | None,
    Query(alias="imaging-study", pattern=r"^(urn:oid:)?[0-9.]{1,64}$", description="Study instance UID."),
]
Since = Annotated[
    str | None,
    Query(alias="_lastUpdated", pattern=r"^ge", max_length=40, description="ge and a moment with its zone."),
]
Count = Annotated[int, Query(alias="_count", ge=1, le=500)]
Offset = Annotated[int, Query(alias="_offset", ge=0, le=1_000_000)]
Include = Annotated[str | None, Query(alias="_include", pattern=r"^DiagnosticReport:result$")]


@router.get("/metadata", response_class=JSONResponse)
def capabilities(_asking: Viewer) -> Response:
    """Say what can be asked (CapabilityStatement)."""
    parameters = [
        {"name": "imaging-study", "type": "token", "documentation": "Study instance UID, with or without urn:oid:."},
        {"name": "_lastUpdated", "type": "date", "documentation": "ge alone."},
    ]
    resources = [
        {
            "type": kind,
            "interaction": [{"code": "read"}, {"code": "search-type"}],
            "searchParam": parameters,
            **({"searchInclude": ["DiagnosticReport:result"]} if kind == "DiagnosticReport" else {}),
        }
        for kind in ("DiagnosticReport", "Observation")
    ]
    return _answer(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2026-01-01",
            "kind": "instance",
            "software": {"name": "cxrscreen", "version": __version__},
            "implementation": {"description": f"Results of chest X-ray screening. {RESEARCH_USE}"},
            "fhirVersion": "4.3.0",
            "format": ["json"],
            "rest": [{"mode": "server", "resource": resources}],
        }
    )


@router.get("/DiagnosticReport", response_class=JSONResponse)
def reports(
    request: Request,
    here: Here,
    _asking: Viewer,
    log: AuditLog,
    study: StudyUid = None,
    since: Since = None,
    count: Count = 50,
    offset: Offset = 0,
    include: Include = None,
) -> Response:
    """Search for reports, the latest last; with their observations where these are asked for."""
    found = _found(request, here, "DiagnosticReport", study, since, count, offset, with_results=include is not None)
    log("fhir.searched", "service", None, sparsely=True, found=found["total"])
    return _answer(found)


@router.get("/Observation", response_class=JSONResponse)
def observations(
    request: Request,
    here: Here,
    _asking: Viewer,
    log: AuditLog,
    study: StudyUid = None,
    since: Since = None,
    count: Count = 50,
    offset: Offset = 0,
) -> Response:
    """Search for observations."""
    found = _found(request, here, "Observation", study, since, count, offset)
    log("fhir.searched", "service", None, sparsely=True, found=found["total"])
    return _answer(found)


@router.get("/DiagnosticReport/{resource_id}", response_class=JSONResponse)
def report(resource_id: Uuid, here: Here, _asking: Viewer, log: AuditLog) -> Response:
    """Give a report."""
    return _read(here, log, "DiagnosticReport", resource_id)


@router.get("/Observation/{resource_id}", response_class=JSONResponse)
def observation(resource_id: Uuid, here: Here, _asking: Viewer, log: AuditLog) -> Response:
    """Give an observation."""
    return _read(here, log, "Observation", resource_id)


def _read(here: Context, log: AuditLog, kind: str, resource_id: str) -> Response:
    with here.database.reading() as session:
        found = session.get(FhirResource, resource_id)
        if found is None or found.kind != kind:
            raise NotFoundError("There is no such resource; search for it, or its study was deleted.")
    log("fhir.read", "result", found.result_id, sparsely=True)
    return _answer(_dated(found), found.made_at)


def _found(
    request: Request,
    here: Context,
    kind: str,
    study: str | None,
    since: str | None,
    count: int,
    offset: int,
    *,
    with_results: bool = False,
) -> dict[str, Any]:
    wanted = select(FhirResource).where(FhirResource.kind == kind)
    if study is not None:
        wanted = wanted.where(FhirResource.study_instance_uid == study.removeprefix("urn:oid:"))
    if since is not None:
        wanted = wanted.where(FhirResource.made_at >= _moment(since))
    order = (FhirResource.made_at, FhirResource.result_id, FhirResource.position)
    with here.database.reading() as session:
        total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        rows = session.scalars(wanted.order_by(*order).limit(count).offset(offset)).all()
        parts = select(FhirResource).where(
            FhirResource.result_id.in_([row.result_id for row in rows]), FhirResource.kind == "Observation"
        )
        included = session.scalars(parts.order_by(*order)).all() if with_results else []
    base = f"{(here.settings.public_url or str(request.base_url)).rstrip('/')}/fhir"
    entries = [_entry(base, row, "match") for row in rows] + [_entry(base, row, "include") for row in included]
    links = [{"relation": "self", "url": f"{base}/{kind}{_query(request, offset)}"}]
    if offset + len(rows) < total:
        links.append({"relation": "next", "url": f"{base}/{kind}{_query(request, offset + len(rows))}"})
    return {"resourceType": "Bundle", "type": "searchset", "total": total, "link": links, "entry": entries}


def _entry(base: str, row: FhirResource, mode: str) -> dict[str, Any]:
    return {"fullUrl": f"{base}/{row.kind}/{row.id}", "resource": _dated(row), "search": {"mode": mode}}


def _dated(row: FhirResource) -> dict[str, Any]:
    return {**row.content, "meta": {"lastUpdated": row.made_at.isoformat(timespec="milliseconds")}}


def _query(request: Request, offset: int) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "_offset"]
    return f"?{urlencode([*kept, ('_offset', str(offset))])}"


def _moment(since: str) -> datetime:
    try:
        moment = datetime.fromisoformat(since.removeprefix("ge").replace(" ", "+"))
        # Beyond the first and the last day there is no moment to turn one into.
        return moment.astimezone(UTC) if moment.tzinfo is not None else _no_moment()
    except (ValueError, OverflowError):
        return _no_moment()


def _no_moment() -> NoReturn:
    raise ServiceError("_lastUpdated is no moment with its zone; write for example ge2026-01-31T12:00:00Z.")


def _answer(content: dict[str, Any], made_at: datetime | None = None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if made_at is not None:
        headers["Last-Modified"] = made_at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return JSONResponse(content, media_type=MEDIA_TYPE, headers=headers)
