"""One image: the state of its screening, its picture, its file, and one more screening."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import AuditLog, Id, Reader, Viewer
from cxrscreen.service.api.views import Image, Job, image_view, job_view
from cxrscreen.service.context import Here
from cxrscreen.service.jobs import enqueue
from cxrscreen.service.pictures import Gallery, Window
from cxrscreen.service.problems import ConflictError, NotFoundError
from cxrscreen.service.store import models
from cxrscreen.service.store.studies import refresh_study

router = APIRouter(prefix=f"{PREFIX}/images", tags=["images"])

PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "The picture."}}


class Rendering(BaseModel):
    """How to show an image."""

    model_config = ConfigDict(extra="forbid")

    center: float = Field(0.5, ge=-1.0, le=2.0, allow_inf_nan=False, description="Of the window, in the range [0, 1].")
    width: float = Field(1.0, ge=0.001, le=4.0, allow_inf_nan=False, description="Of the window.")
    invert: bool = False
    side: int = Field(1024, ge=16, le=8192, description="Longest side of the picture, in pixels.")


class Order(BaseModel):
    """A screening that is asked for."""

    model_config = ConfigDict(extra="forbid")

    system: str = Field(max_length=32, description="One of the service's systems.")


@router.get("/{image_id}")
def image(image_id: Id, here: Here, _asking: Viewer, log: AuditLog) -> Image:
    """Show an image's facts and the state of its screening."""
    with here.database.reading() as session:
        view = image_view(_image(session, image_id))
    log("image.seen", "image", image_id)
    return view


@router.get("/{image_id}/picture.png", response_class=Response, responses=PNG)
def picture(
    image_id: Id,
    request: Request,
    here: Here,
    _asking: Viewer,
    log: AuditLog,
    rendering: Annotated[Rendering, Query()],
) -> Response:
    """Render the image, with the grey values that its file asks for, in a window."""
    gallery: Gallery = request.app.state.gallery
    with here.database.reading() as session:
        found = _image(session, image_id)
    log("image.picture_seen", "image", image_id, sparsely=True)
    window = Window(rendering.center, rendering.width, rendering.invert, rendering.side)
    return png_response(gallery.picture(found, window))


@router.get("/{image_id}/file", response_class=FileResponse)
def file(image_id: Id, here: Here, _asking: Reader, log: AuditLog) -> FileResponse:
    """Give the file as it was sent."""
    with here.database.reading() as session:
        found = _image(session, image_id)
    path = here.files.path(found.sha256)
    if not path.exists():
        raise NotFoundError("The image's file is gone; restore it from a backup.")
    log("image.file_given", "image", image_id)
    kind = "application/dicom" if found.format == "DICOM" else f"image/{found.format.lower()}"
    suffix = "dcm" if found.format == "DICOM" else found.format.lower()
    return FileResponse(path, media_type=kind, filename=f"{image_id}.{suffix}")


@router.post("/{image_id}/screenings", status_code=202)
def screen(image_id: Id, order: Order, here: Here, _asking: Reader, log: AuditLog) -> Job:
    """Ask for a screening by one of the service's systems, also one that has screened the image before.

    Where such a job has not ended yet, that one is given.
    """
    if order.system not in here.settings.systems:
        raise ConflictError(f"The service has no such system; it has {', '.join(here.settings.systems)}.")
    with here.database.writing() as session:
        found = _image(session, image_id)
        # The study first, as everywhere: who asks for the same at one moment waits, and then finds the job.
        locked = select(models.Study.id).where(models.Study.id == found.study_id).with_for_update()
        if session.scalar(locked) is None:
            raise _no_image()
        first = order.system == here.settings.used_systems[0]
        job = enqueue(session, image_id, order.system, here.now(), orders_worklist=first, again=True)
        refresh_study(session, found.study_id)
        view = job_view(job)
    log("image.screening_asked", "image", image_id, system=order.system)
    return view


def png_response(content: bytes) -> Response:
    """Answer with a picture."""
    return Response(content, media_type="image/png")


def _image(session: Session, image_id: str) -> models.Image:
    found = session.get(models.Image, image_id)
    if found is None:
        raise _no_image()
    return found


def _no_image() -> NotFoundError:
    return NotFoundError("There is no such image; check its identifier, or it was deleted.")
