"""A stored result -> its DICOM objects and FHIR resources, catalogued and queued for every peer, once."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

import numpy as np
import pydicom
import structlog
from pydicom.dataset import Dataset
from sqlalchemy import CursorResult, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cxrscreen.errors import CxrscreenError, UnreachableImageError
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import read
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.report.figures import fitted_map
from cxrscreen.service.context import Context
from cxrscreen.service.dicom_catalogue import entry_of, list_image
from cxrscreen.service.jobs import LONGEST_WAIT, next_look
from cxrscreen.service.logs import places_of
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.exchange import Delivery, Export, FhirResource, Instance
from cxrscreen.service.store.files import FilesError, StoredFile
from cxrscreen.service.store.models import Image, Job, Result
from cxrscreen.service.store.results import load_screening
from cxrscreen.systems.contract import SaliencyMap, Screening

_LOG = structlog.get_logger(__name__)

LEASE: Final = timedelta(minutes=5)
"""Silence after which another worker makes the objects; that takes seconds."""


@dataclass(frozen=True, eq=False)
class Made:
    """What a result became.

    Parameters
    ----------
    objects
        Each object with its file, in the order to store them.
    resources
        FHIR resources, the report first.
    study_instance_uid
        To which all belong.
    """

    objects: tuple[tuple[Dataset, StoredFile, bytes], ...]
    resources: tuple[Mapping[str, Any], ...]
    study_instance_uid: str


def export_once(context: Context) -> bool:
    """Take the next result that is to be exported, and do so.

    A kill at any moment leaves the work in the queue; the objects' UIDs follow from the result, so that doing it again
    makes no second ones.

    Returns
    -------
    bool
        Whether there was one.
    """
    taken = _lease(context)
    if taken is None:
        return False
    result_id, key, attempt = taken
    try:
        with without_warnings():
            made = _made(context, result_id)
            if made is not None:
                _write(context, result_id, key, made)
        if made is None:
            with context.database.writing() as session:
                _end(session, result_id, key, "done", None, context.now())
    except _LeaseLostError:
        _LOG.warning("export lost", result=result_id, attempt=attempt)
    except Exception as error:
        # The text of an unexpected error may hold what is in the file.
        reason = str(error) if isinstance(error, CxrscreenError) else f"Unexpected fault ({type(error).__name__})."
        _LOG.error("export failed", result=result_id, error=type(error).__name__, places=places_of(error))
        if isinstance(error, UnreachableImageError | FilesError | OperationalError | OSError):
            _postponed(context, result_id, key, reason)
        else:
            _failed(context, result_id, key, attempt, reason)
    return True


def full_size(screening: Screening, radiograph: Radiograph) -> Screening:
    """Bring the maps of a stored screening, which are kept smaller, to the radiograph's size, as objects need them."""

    def enlarged(saliency: SaliencyMap) -> SaliencyMap:
        if saliency.values.shape == radiograph.shape:
            return saliency
        values, looked_at = fitted_map(saliency.values, saliency.looked_at, radiograph.shape)
        return replace(saliency, values=np.clip(values, 0.0, 1.0), looked_at=looked_at)

    return replace(screening, saliency=tuple(enlarged(saliency) for saliency in screening.saliency))


def _made(context: Context, result_id: str) -> Made | None:
    """Make the objects of a result; None where the settings want none."""
    with context.database.reading() as session:
        result = session.get(Result, result_id)
        wanted = context.settings.dicom_objects
        if result is None or wanted == "off" or (wanted == "dicom" and result.image.format != "DICOM"):
            return None
        screening = load_screening(context.files, result)
        sha256, made_at = result.image.sha256, result.made_at
    # Here and not above: a server that only answers requests starts without them.
    from cxrscreen.report.dicom.objects import dicom_objects, encoded, ratio_of  # noqa: PLC0415
    from cxrscreen.report.fhir import screening_resources, taken_at  # noqa: PLC0415

    radiograph = read(context.files.path(sha256), limits=context.limits)
    whole = full_size(screening, radiograph)
    # Times without a zone are local ones in DICOM; that of the result, so that a repeat gives the same bytes.
    objects = dicom_objects(whole, radiograph, made=made_at.astimezone().replace(tzinfo=None))
    study = str(objects.report.StudyInstanceUID)
    resources = screening_resources(
        whole,
        study_uid=study,
        image_uid=_image_uid(objects.image, radiograph),
        made=made_at,
        taken=taken_at(radiograph),
        cardiothoracic_ratio=ratio_of(whole),
    )
    files = []
    for written in objects.named.values():
        content = encoded(written)
        # As it is in the file: writers leave values of their own kinds in what they made.
        dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        files.append((dataset, context.files.put(io.BytesIO(content)), content))
    return Made(tuple(files), resources, study)


def _image_uid(made_of_picture: Dataset | None, radiograph: Radiograph) -> str:
    if made_of_picture is not None:
        return str(made_of_picture.SOPInstanceUID)
    return radiograph.provenance.sop_instance_uid or ""


def _write(context: Context, result_id: str, key: str, made: Made) -> None:
    now = context.now()
    with context.database.writing() as session:
        _end(session, result_id, key, "done", None, now)
        result = session.get_one(Result, result_id)
        image = session.get_one(Image, result.image_id)
        list_image(session, context, image)
        if _is_spoken_for(session, image, made):
            session.get_one(Export, result_id).reason = "Another image under the same SOP instance UID came first."
            _LOG.warning("not exported", result=result_id, image=image.id)
            return
        instances = []
        for dataset, stored, _ in made.objects:
            uid = str(dataset.SOPInstanceUID)
            known = session.scalars(select(Instance).where(Instance.sop_instance_uid == uid)).first()
            instance = known or entry_of(dataset, stored, image.id, now, result_id)
            if instance is not None:
                session.add(instance)
                instances.append(instance)
        session.flush()
        node = context.settings.node
        for peer in () if node is None else node.peers:
            _queue(session, f"peer:{peer.name}", image.study_id, instances, now)
        _keep_resources(session, result_id, made, now)
    for _, stored, content in made.objects:
        context.files.ensure(stored, io.BytesIO(content))
    _LOG.info("exported", result=result_id, objects=len(made.objects))


def _is_spoken_for(session: Session, image: Image, made: Made) -> bool:
    """Tell whether another image under the same SOP instance UID has, or will have, the objects of that UID.

    Objects and resources of both would have the same identifiers and differ in what they say.
    """
    uids = [str(dataset.SOPInstanceUID) for dataset, _, _ in made.objects]
    by_another = Instance.image_id != image.id
    if session.scalar(select(Instance.id).where(Instance.sop_instance_uid.in_(uids), by_another).limit(1)) is not None:
        return True
    # One that could not be screened, such as a file that was cut off on its way, says nothing.
    first = (
        select(Job.id)
        .join(Instance, Instance.image_id == Job.image_id)
        .where(Instance.sop_instance_uid == image.sop_instance_uid, by_another, Job.state != "set_aside")
    )
    return session.scalar(first.limit(1)) is not None


def _queue(session: Session, destination: str, study_id: str, instances: Sequence[Instance], now: datetime) -> None:
    known = set(
        session.scalars(
            select(Delivery.key).where(
                Delivery.destination == destination, Delivery.key.in_([one.sop_instance_uid for one in instances])
            )
        )
    )
    for position, instance in enumerate(instances):
        if instance.sop_instance_uid not in known:
            session.add(
                Delivery(
                    id=new_id(),
                    destination=destination,
                    key=instance.sop_instance_uid,
                    study_id=study_id,
                    instance_id=instance.id,
                    position=position,
                    not_before=now,
                    created_at=now,
                )
            )
    session.flush()


def _keep_resources(session: Session, result_id: str, made: Made, now: datetime) -> None:
    for position, resource in enumerate(made.resources):
        # The same question to the same bundle about the same image has the same identifier: the latest answer counts.
        session.merge(
            FhirResource(
                id=str(resource["id"]),
                kind=str(resource["resourceType"]),
                result_id=result_id,
                study_instance_uid=made.study_instance_uid,
                position=position,
                content=dict(resource),
                made_at=now,
            )
        )
    session.flush()


class _LeaseLostError(CxrscreenError):
    pass


def _lease(context: Context) -> tuple[str, str, int] | None:
    now = context.now()
    with context.database.writing() as session:
        due = (Export.state == "waiting") & (Export.not_before <= now)
        silent = (Export.state == "leased") & (Export.leased_until < now)
        export = session.scalars(
            select(Export)
            .where(or_(due, silent))
            .order_by(Export.not_before)
            .limit(1)
            .with_for_update(skip_locked=True, of=Export)
        ).first()
        if export is None:
            return None
        export.attempts += 1
        if export.attempts > context.settings.max_attempts:
            export.state, export.ended_at = "set_aside", now
            export.reason = export.reason or "The worker ended each time while it made the objects."
            return None
        export.state, export.lease, export.leased_until = "leased", new_id(), now + LEASE
        return export.result_id, export.lease, export.attempts


def _end(session: Session, result_id: str, key: str, state: str, reason: str | None, now: datetime) -> None:
    if not _change(session, result_id, key, state=state, reason=reason, ended_at=now, lease=None, leased_until=None):
        raise _LeaseLostError("The export was given to another worker, or its result was deleted.")


def _failed(context: Context, result_id: str, key: str, attempt: int, reason: str) -> None:
    settings, now = context.settings, context.now()
    with context.database.writing() as session:
        if attempt >= settings.max_attempts:
            change = {"state": "set_aside", "ended_at": now}
        else:
            wait = min(timedelta(seconds=settings.retry_seconds) * 2 ** min(attempt - 1, 20), LONGEST_WAIT)
            change = {"state": "waiting", "not_before": now + wait}
        _change(session, result_id, key, reason=reason[:1024], lease=None, leased_until=None, **change)


def _postponed(context: Context, result_id: str, key: str, reason: str) -> None:
    """Put an export off that failed because disk or database are away, without counting it as an attempt."""
    now = context.now()
    with context.database.writing() as session:
        result = session.get(Result, result_id)
        again = None if result is None else next_look(result.made_at, now, context.settings.retry_seconds)
        change: dict[str, Any] = {"state": "set_aside", "ended_at": now}
        if again is not None:
            change = {"state": "waiting", "not_before": again, "attempts": Export.attempts - 1}
        _change(session, result_id, key, reason=reason[:1024], lease=None, leased_until=None, **change)


def _change(session: Session, result_id: str, key: str, **values: object) -> bool:
    changed = session.execute(
        update(Export)
        .where(Export.result_id == result_id, Export.state == "leased", Export.lease == key)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return cast("CursorResult[object]", changed).rowcount == 1
