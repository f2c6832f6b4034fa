"""WADO-RS: instances, metadata, frames, bulk data and pictures (DICOM PS3.18 section 10.4)."""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path as FilePath
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image as Picture
from pydicom import uid
from pydicom.pixels.utils import pixel_array
from python_multipart.multipart import parse_options_header
from sqlalchemy import select

from cxrscreen.imaging.silence import without_warnings
from cxrscreen.service.api.asking import AuditLog, Reader, Viewer
from cxrscreen.service.api.dicomweb_address import JSON, PREFIX, Uid, address, base_of
from cxrscreen.service.context import Context, Here
from cxrscreen.service.dicom_multipart import DICOM, related
from cxrscreen.service.dicom_retrieve import OCTETS, Accepted, NotAcceptableError, bulk_data, frames, metadata, whole
from cxrscreen.service.pictures import Gallery, Window
from cxrscreen.service.problems import NotFoundError
from cxrscreen.service.store.exchange import Instance
from cxrscreen.service.store.files import FilesError
from cxrscreen.service.store.models import Image

router = APIRouter(prefix=PREFIX, tags=["DICOMweb"])

STUDY: Final = "/studies/{study_uid}"
SERIES: Final = f"{STUDY}/series/{{series_uid}}"
INSTANCE: Final = f"{SERIES}/instances/{{instance_uid}}"
Frames = Annotated[str, Path(pattern=r"^[0-9]{1,6}(,[0-9]{1,6}){0,99}$", description="Numbers of frames, from 1.")]
Place = Annotated[str, Path(pattern=r"^([0-9A-F]{8}-[0-9]{1,4}-){0,8}[0-9A-F]{8}$", description="From the metadata.")]
Side = Annotated[str | None, Query(pattern=r"^[0-9]{1,5},[0-9]{1,5}$", description="Largest width and height.")]
_LARGEST_SIDE: Final = 8192


@router.get(STUDY, response_class=StreamingResponse)
def study(study_uid: Uid, request: Request, _asking: Reader, here: Here, log: AuditLog) -> Response:
    """Give all instances of a study."""
    return _instances(request, here, log, study_uid)


@router.get(SERIES, response_class=StreamingResponse)
def series(study_uid: Uid, series_uid: Uid, request: Request, _asking: Reader, here: Here, log: AuditLog) -> Response:
    """Give all instances of a series."""
    return _instances(request, here, log, study_uid, series_uid)


@router.get(INSTANCE, response_class=StreamingResponse)
def instance(
    study_uid: Uid, series_uid: Uid, instance_uid: Uid, request: Request, _asking: Reader, here: Here, log: AuditLog
) -> Response:
    """Give an instance."""
    return _instances(request, here, log, study_uid, series_uid, instance_uid)


@router.get(f"{STUDY}/metadata", response_class=JSONResponse)
def study_metadata(study_uid: Uid, request: Request, _asking: Reader, here: Here, log: AuditLog) -> Response:
    """Give the attributes of all instances of a study."""
    return _metadata(request, here, log, study_uid)


@router.get(f"{SERIES}/metadata", response_class=JSONResponse)
def series_metadata(
    study_uid: Uid, series_uid: Uid, request: Request, _asking: Reader, here: Here, log: AuditLog
) -> Response:
    """Give the attributes of all instances of a series."""
    return _metadata(request, here, log, study_uid, series_uid)


@router.get(f"{INSTANCE}/metadata", response_class=JSONResponse)
def instance_metadata(
    study_uid: Uid, series_uid: Uid, instance_uid: Uid, request: Request, _asking: Reader, here: Here, log: AuditLog
) -> Response:
    """Give the attributes of an instance."""
    return _metadata(request, here, log, study_uid, series_uid, instance_uid)


@router.get(f"{INSTANCE}/frames/{{numbers}}", response_class=StreamingResponse)
def instance_frames(
    study_uid: Uid,
    series_uid: Uid,
    instance_uid: Uid,
    numbers: Frames,
    request: Request,
    _asking: Reader,
    here: Here,
    log: AuditLog,
) -> Response:
    """Give frames of an instance, bare or as they are compressed."""
    (found,) = _found(here, log, "dicomweb.frames_given", study_uid, series_uid, instance_uid)
    wanted = [int(number) for number in numbers.split(",")]
    kind, contents = frames(_path(here, found), wanted, accepted(request) or [Accepted(OCTETS)])
    return _related(((kind, (content,)) for content in contents), kind.partition(";")[0])


@router.get(f"{INSTANCE}/bulkdata/{{place}}", response_class=StreamingResponse)
def instance_bulk_data(
    study_uid: Uid, series_uid: Uid, instance_uid: Uid, place: Place, _asking: Reader, here: Here, log: AuditLog
) -> Response:
    """Give a binary value of an instance; pixel data as they are stored."""
    (found,) = _found(here, log, "dicomweb.bulk_data_given", study_uid, series_uid, instance_uid)
    return _related([(OCTETS, (bulk_data(_path(here, found), place),))], OCTETS)


@router.get(f"{INSTANCE}/rendered", response_class=Response)
def rendered(
    study_uid: Uid,
    series_uid: Uid,
    instance_uid: Uid,
    request: Request,
    _asking: Viewer,
    here: Here,
    log: AuditLog,
    viewport: Side = None,
) -> Response:
    """Render an image as PNG or JPEG: a radiograph as its file asks for, a picture of a result as it is."""
    (found,) = _found(here, log, "dicomweb.rendered", study_uid, series_uid, instance_uid)
    sides = [int(side) for side in viewport.split(",")] if viewport else [_LARGEST_SIDE]
    picture = _picture(request, here, found, max(1, min(*sides, _LARGEST_SIDE)))
    kinds = [one.media_type for one in accepted(request)] or ["*/*"]
    form = next((kind for kind in kinds if kind in ("image/png", "image/jpeg")), None)
    if form is None and not {"*/*", "image/*"} & set(kinds):
        raise NotAcceptableError("Pictures are given as image/jpeg or image/png.")
    written = io.BytesIO()
    if form == "image/png":
        picture.save(written, "PNG", compress_level=1)
    else:
        picture.save(written, "JPEG", quality=90)
    return Response(written.getvalue(), media_type=form or "image/jpeg")


def accepted(request: Request) -> list[Accepted]:
    """Read what a client takes, in its order; of multipart bodies, what their parts are."""
    found = []
    for value in ",".join(request.headers.getlist("accept")).split(","):
        kind, options = parse_options_header(value.strip())
        media_type = kind.decode("latin-1").lower()
        if media_type == "multipart/related":
            media_type = options.get(b"type", b"*/*").decode("latin-1").lower()
        syntax = options.get(b"transfer-syntax")
        if media_type:
            found.append(Accepted(media_type, None if syntax is None else syntax.decode("latin-1")))
    return found


def _instances(request: Request, here: Context, log: AuditLog, *uids: str) -> Response:
    taken = accepted(request) or [Accepted(DICOM)]
    wanted = [one for one in taken if one.media_type in (DICOM, "application/*", "*/*")]
    if not wanted:
        raise NotAcceptableError('Instances are given as multipart/related; type="application/dicom".')
    found = _found(here, log, "dicomweb.instances_given", *uids)
    # Whoever takes anything takes it as it is stored.
    syntax = "*" if wanted[0].media_type != DICOM else wanted[0].transfer_syntax
    # Looked at before the first byte is sent: an error after that is a broken body.
    paths = [_path(here, one) for one in found]
    if syntax not in (None, "*", uid.ExplicitVRLittleEndian) and {one.transfer_syntax_uid for one in found} != {syntax}:
        raise NotAcceptableError("The instances are not given in that transfer syntax; ask for them as stored (*).")
    contents = (
        # The bare type: archives that are sent such a body pass over parts whose type says more.
        (DICOM, whole(path, one.transfer_syntax_uid, syntax))
        for one, path in zip(found, paths, strict=True)
    )
    # The first is made before the answer begins, so that one that cannot be given is refused in words.
    return _related(chain([next(contents)], contents), DICOM)


def _metadata(request: Request, here: Context, log: AuditLog, *uids: str) -> Response:
    kinds = {one.media_type for one in accepted(request)}
    if kinds and not kinds & {JSON, "application/json", "application/*", "*/*"}:
        raise NotAcceptableError(f"Metadata are given as {JSON}.")
    found = _found(here, log, "dicomweb.metadata_given", *uids)
    base = base_of(request, here)
    written = [
        metadata(_path(here, one), address(base, one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid))
        for one in found
    ]
    return JSONResponse(written, media_type=JSON, headers={"Cache-Control": "no-store"})


def _picture(request: Request, here: Context, found: Instance, side: int) -> Picture.Image:
    if found.result_id is None:
        gallery: Gallery = request.app.state.gallery
        with here.database.reading() as session:
            image = session.get_one(Image, found.image_id)
        return Picture.open(io.BytesIO(gallery.picture(image, Window(side=max(16, side)))))
    if found.sop_class_uid != uid.SecondaryCaptureImageStorage:
        raise NotAcceptableError("This object is no picture; ask for the instance, or for the picture of its result.")
    with without_warnings():
        picture = Picture.fromarray(pixel_array(_path(here, found)))
    picture.thumbnail((side, side))
    return picture


def _found(
    here: Context, log: AuditLog, action: str, study: str, series: str | None = None, instance: str | None = None
) -> Sequence[Instance]:
    wanted = select(Instance).where(Instance.study_instance_uid == study)
    if series is not None:
        wanted = wanted.where(Instance.series_instance_uid == series)
    if instance is not None:
        wanted = wanted.where(Instance.sop_instance_uid == instance)
    with here.database.reading() as session:
        order = (Instance.series_number, Instance.series_instance_uid, Instance.instance_number, Instance.id)
        found = session.scalars(wanted.order_by(*order)).all()
        images = select(Image.id, Image.study_id).where(Image.id.in_({one.image_id for one in found}))
        studies = {row.id: row.study_id for row in session.execute(images)}
    if not found:
        raise NotFoundError("There is nothing under these identifiers; search for it, or it was deleted.")
    if instance is not None:
        log(action, "image", found[0].image_id, sparsely=True, instances=1)
        return found
    # Each time: what was taken before may have been a part of it.
    level = "study" if series is None else "series"
    for study_id, count in Counter(studies[one.image_id] for one in found).items():
        log(action, "study", study_id, level=level, instances=count)
    return found


def _path(here: Context, found: Instance) -> FilePath:
    path = here.files.path(found.sha256)
    if not path.exists():
        raise FilesError(f"The stored file {found.sha256[:12]}... is gone; restore it from a backup.")
    return path


def _related(contents: Iterable[tuple[str, Iterable[bytes]]], kind: str) -> Response:
    content_type, body = related(contents, kind)
    return StreamingResponse(body, headers={"Content-Type": content_type})
