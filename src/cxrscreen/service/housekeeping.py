"""What is done now and then: old studies are deleted, and files that nobody needs are removed."""

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cxrscreen.errors import CxrscreenError
from cxrscreen.service.context import Context
from cxrscreen.service.logs import places_of
from cxrscreen.service.store.database import Database
from cxrscreen.service.store.exchange import Instance
from cxrscreen.service.store.models import (
    Contradiction,
    Image,
    Job,
    Patient,
    StoredMap,
    Study,
    Submission,
    SubmissionItem,
)

_LOG = structlog.get_logger(__name__)

_EVERY_SECONDS: Final = 3600.0
_CENTURY_DAYS: Final = 36525
"""Nothing here is older; the calendar begins not so much before."""
_ABANDONED_SECONDS: Final = 3600.0
"""Age at which a file that no row names was left by a process that was killed."""


def keep_house(context: Context, stop: threading.Event, every_seconds: float = _EVERY_SECONDS) -> None:
    """Delete what is too old and sweep, at once and then each hour, until told to stop."""
    while True:
        try:
            days = context.settings.retention_days
            deleted = 0 if days is None else purge(context, days)
            swept = sweep(context)
            if deleted or swept:
                _LOG.info("house kept", studies_deleted=deleted, files_removed=swept)
        except (CxrscreenError, SQLAlchemyError, OSError) as error:
            _LOG.error("housekeeping failed", error=type(error).__name__, places=places_of(error))
        if stop.wait(every_seconds):
            return


def delete_study(context: Context, study_id: str, only: ColumnElement[bool] | None = None) -> bool:
    """Delete a study with all that belongs to it, and the files that nobody else needs.

    A file that cannot be removed now is left to :func:`sweep`.

    Parameters
    ----------
    context
        The store.
    study_id
        The study.
    only
        A condition on it that has to hold at the moment of deletion; None: none.

    Returns
    -------
    bool
        Whether there was such a study.
    """
    with context.database.writing() as session:
        # Locked, as who adds an image locks it: that image is seen here, or finds the study gone.
        study = session.scalars(select(Study).where(Study.id == study_id).with_for_update(of=Study)).first()
        if study is None:
            return False
        if only is not None and session.scalar(select(Study.id).where(Study.id == study_id, only)) is None:
            return False
        files = _files_of(session.scalars(select(Image).where(Image.study_id == study_id)).all())
        made = select(Instance.sha256).join(Image).where(Image.study_id == study_id, Instance.result_id.is_not(None))
        files += session.scalars(made).all()
        of_its_images = select(Contradiction.patient_id).join(Image).where(Image.study_id == study_id)
        people = {study.patient_id, *session.scalars(of_its_images)}
        # Senders often name files by their patients.
        theirs = SubmissionItem.image_id.in_(select(Image.id).where(Image.study_id == study_id))
        session.execute(update(SubmissionItem).where(theirs).values(name=None))
        session.delete(study)
        session.flush()
        # Locked, so that nobody files a new study under one of them in between.
        for patient in session.scalars(
            select(Patient).where(Patient.id.in_(people)).order_by(Patient.id).with_for_update()
        ).all():
            if not _is_named(session, patient.id):
                session.delete(patient)
    try:
        remove_files(context, files)
    except (CxrscreenError, SQLAlchemyError, OSError) as error:
        # The study is gone, and whoever deleted it has to hear so; the sweep takes its files.
        _LOG.error("files of a deleted study left", error=type(error).__name__, places=places_of(error))
    return True


def purge(context: Context, days: float) -> int:
    """Delete studies whose last image came in more than so many days ago, and what is known of uploads then.

    A study waits until its images are screened; jobs of a system that is no longer set up keep none.

    Returns
    -------
    int
        How many studies.
    """
    before = context.now() - timedelta(days=min(days, _CENTURY_DAYS))
    is_over = _is_over(before, tuple(context.settings.systems))
    with context.database.reading() as session:
        old = session.scalars(select(Study.id).where(is_over)).all()
    deleted = sum(delete_study(context, study_id, is_over) for study_id in old)
    with context.database.writing() as session:
        # Of one whose image somebody sent again, the image is younger than the upload, and stays.
        session.execute(delete(Submission).where(Submission.received_at < before))
    return deleted


def sweep(context: Context, *, older_than_seconds: float = _ABANDONED_SECONDS) -> int:
    """Remove files that no row names, unless they are so young that their row may still be on its way."""
    abandoned = [name for name in context.files.names() if context.files.age_seconds(name) > older_than_seconds]
    return context.files.remove_unfinished(older_than_seconds) + remove_files(context, abandoned)


def remove_files(context: Context, names: Iterable[str]) -> int:
    """Remove those of some files that no row names; return how many."""
    return sum(context.files.remove_unneeded(name, lambda sha256: _needed(context.database, sha256)) for name in names)


def _is_over(before: datetime, systems: Sequence[str]) -> ColumnElement[bool]:
    newest = select(func.max(Image.received_at)).where(Image.study_id == Study.id).scalar_subquery()
    unscreened = (
        select(Job.id)
        .join(Image)
        .where(Image.study_id == Study.id, Job.state.in_(("waiting", "leased")), Job.system.in_(systems))
    )
    # The first condition follows from the second, and has an index.
    return (Study.received_at < before) & (func.coalesce(newest, Study.received_at) < before) & ~unscreened.exists()


def _is_named(session: Session, patient_id: str) -> bool:
    """Tell whether a study or an image is still a patient's."""
    return any(
        session.scalar(select(table.patient_id).where(table.patient_id == patient_id).limit(1)) is not None
        for table in (Study, Contradiction)
    )


def _needed(database: Database, sha256: str) -> bool:
    with database.reading() as session:
        return any(
            session.scalar(select(table.id).where(table.sha256 == sha256).limit(1)) is not None
            for table in (Image, StoredMap, Instance)
        )


def _files_of(images: Iterable[Image]) -> list[str]:
    found: list[str] = []
    for image in images:
        found.append(image.sha256)
        for result in image.results:
            found += [stored.sha256 for stored in result.maps]
    return found
