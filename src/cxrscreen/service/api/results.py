"""One result: its data, its maps, and the report as page and PDF."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import AuditLog, Id, Viewer
from cxrscreen.service.api.images import PNG, png_response
from cxrscreen.service.api.views import Result, result_view
from cxrscreen.service.context import Context, Here
from cxrscreen.service.pictures import Gallery, Look
from cxrscreen.service.problems import NotFoundError
from cxrscreen.service.reports import FOLDER, html_report, pdf_report
from cxrscreen.service.store import models

router = APIRouter(prefix=f"{PREFIX}/results", tags=["results"])

_PAGE_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_PDF: dict[int | str, dict[str, Any]] = {200: {"content": {"application/pdf": {}}, "description": "The report."}}


@router.get("/{result_id}")
def result(result_id: Id, here: Here, _asking: Viewer, log: AuditLog) -> Result:
    """Give a result as data."""
    view = result_view(_result(here, result_id))
    log("result.seen", "result", result_id)
    return view


@router.get("/{result_id}/maps/{name}.png", response_class=Response, responses=PNG)
def saliency_map(
    result_id: Id,
    name: Annotated[str, Path(pattern="^[a-z0-9_]{1,32}$", description="Of the map, or 'lungs'.")],
    request: Request,
    here: Here,
    _asking: Viewer,
    log: AuditLog,
    look: Annotated[Look, Query(description="'overlay' in colour with transparency, or 'values' in grey.")] = "overlay",
) -> Response:
    """Render a map, or the lung mask, by itself, to be laid over the picture."""
    gallery: Gallery = request.app.state.gallery
    content = gallery.map(_result(here, result_id), name, look)
    log("result.picture_seen", "result", result_id, sparsely=True)
    return png_response(content)


@router.get(f"/{{result_id}}/{FOLDER}/{{file}}", response_class=Response, responses=PNG)
def picture(
    result_id: Id,
    file: Annotated[str, Path(pattern=r"^[a-z0-9_]{1,32}\.png$")],
    request: Request,
    here: Here,
    _asking: Viewer,
    log: AuditLog,
) -> Response:
    """Render a framed picture with title and scale: original, lung_overlay, lung_mask, or a map by its name."""
    gallery: Gallery = request.app.state.gallery
    files = gallery.folder(_result(here, result_id)).files
    if file not in files:
        raise NotFoundError(f"The result has no such picture; it has {', '.join(sorted(files))}.")
    log("result.picture_seen", "result", result_id, sparsely=True)
    return png_response(files[file])


@router.get("/{result_id}/report.html", response_class=HTMLResponse)
def page(result_id: Id, request: Request, here: Here, _asking: Viewer, log: AuditLog) -> HTMLResponse:
    """Give the report as a page that needs nothing else."""
    gallery: Gallery = request.app.state.gallery
    found = _result(here, result_id)
    content = html_report(found, gallery.folder(found))
    log("result.report_made", "result", result_id, form="html")
    return HTMLResponse(content, headers={"Content-Security-Policy": _PAGE_POLICY})


@router.get("/{result_id}/report.pdf", response_class=Response, responses=_PDF)
def document(result_id: Id, request: Request, here: Here, _asking: Viewer, log: AuditLog) -> Response:
    """Give the report as PDF."""
    gallery: Gallery = request.app.state.gallery
    found = _result(here, result_id)
    content = pdf_report(found, gallery.folder(found))
    log("result.report_made", "result", result_id, form="pdf")
    headers = {"Content-Disposition": f'inline; filename="{result_id}.pdf"'}
    return Response(content, media_type="application/pdf", headers=headers)


def _result(here: Context, result_id: str) -> models.Result:
    """Give a result with all that its report tells, and the connection back: who waits for a picture holds none."""
    image = joinedload(models.Result.image)
    wanted = (
        select(models.Result)
        .where(models.Result.id == result_id)
        .options(
            image.joinedload(models.Image.study).joinedload(models.Study.patient),
            image.joinedload(models.Image.other_patient),
            selectinload(models.Result.maps),
        )
    )
    with here.database.reading() as session:
        found = session.scalars(wanted).first()
    if found is None:
        raise NotFoundError("There is no such result; check its identifier, or it was deleted.")
    return found
