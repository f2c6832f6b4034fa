"""FHIR R4: the reports and observations of screenings, to be read (not a whole FHIR server)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import func, select

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.service.api.asking import AuditLog, Viewer
from cxrscreen.service.api.moments import in_utc
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


@dataclass(frozen=True)
class Search:
    """What a search asks for; FastAPI fills it from the query."""

    study: StudyUid = None
    since: Since = None
    count: Count = 50
    offset: Offset = 0


Asked = Annotated[Search, Depends()]


@router.get("/DiagnosticReport", response_class=JSONResponse)
def reports(
    request: Request, here: Here, _asking: Viewer, log: AuditLog, asked: Asked, include: Include = None
) -> Response:
    """Search for reports, the latest last; with their observations where these are asked for."""
    return _found(request, here, log, "DiagnosticReport", asked, with_results=include is not None)


@router.get("/Observation", response_class=JSONResponse)
def observations(request: Request, here: Here, _asking: Viewer, log: AuditLog, asked: Asked) -> Response:
    """Search for observations."""
    return _found(request, here, log, "Observation", asked)


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
    log: AuditLog,
    kind: str,
    asked: Search,
    *,
    with_results: bool = False,
) -> Response:
    wanted = select(FhirResource).where(FhirResource.kind == kind)
    if asked.study is not None:
        wanted = wanted.where(FhirResource.study_instance_uid == asked.study.removeprefix("urn:oid:"))
    if asked.since is not None:
        wanted = wanted.where(FhirResource.made_at >= _moment(asked.since))
    order = (FhirResource.made_at, FhirResource.result_id, FhirResource.position)
    with here.database.reading() as session:
        total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        rows = session.scalars(wanted.order_by(*order).limit(asked.count).offset(asked.offset)).all()
        parts = select(FhirResource).where(
            FhirResource.result_id.in_([row.result_id for row in rows]), FhirResource.kind == "Observation"
        )
        included = session.scalars(parts.order_by(*order)).all() if with_results else []
    base = f"{(here.settings.public_url or str(request.base_url)).rstrip('/')}/fhir"
    entries = [_entry(base, row, "match") for row in rows] + [_entry(base, row, "include") for row in included]
    links = [{"relation": "self", "url": f"{base}/{kind}{_query(request, asked.offset)}"}]
    if asked.offset + len(rows) < total:
        links.append({"relation": "next", "url": f"{base}/{kind}{_query(request, asked.offset + len(rows))}"})
    log("fhir.searched", "service", None, sparsely=True, found=total)
    return _answer({"resourceType": "Bundle", "type": "searchset", "total": total, "link": links, "entry": entries})


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
        return in_utc(moment) if moment.tzinfo is not None else _no_moment()
    except ValueError:
        return _no_moment()


def _no_moment() -> NoReturn:
    raise ServiceError("_lastUpdated is no moment with its zone; write for example ge2026-01-31T12:00:00Z.")


def _answer(content: dict[str, Any], made_at: datetime | None = None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if made_at is not None:
        headers["Last-Modified"] = made_at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return JSONResponse(content, media_type=MEDIA_TYPE, headers=headers)
