"""What is done now and then: old studies are deleted, and files that nobody needs are removed."""

import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from cxrscreen.errors import CxrscreenError
from cxrscreen.service.context import Context
from cxrscreen.service.logs import places_of
from cxrscreen.service.store.database import Database
from cxrscreen.service.store.exchange import Instance
from cxrscreen.service.store.models import Image, StoredMap, Study, Submission, SubmissionItem

_LOG = structlog.get_logger(__name__)

_EVERY_SECONDS: Final = 3600.0
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


def delete_study(context: Context, study_id: str) -> bool:
    """Delete a study with all that belongs to it, and the files that nobody else needs.

    Returns
    -------
    bool
        Whether there was such a study.
    """
    with context.database.writing() as session:
        study = session.get(Study, study_id)
        if study is None:
            return False
        files = _files_of(session.scalars(select(Image).where(Image.study_id == study_id)).all())
        made = select(Instance.sha256).join(Image).where(Image.study_id == study_id, Instance.result_id.is_not(None))
        files += session.scalars(made).all()
        patient = study.patient
        # Senders often name files by their patients.
        theirs = SubmissionItem.image_id.in_(select(Image.id).where(Image.study_id == study_id))
        session.execute(update(SubmissionItem).where(theirs).values(name=None))
        session.delete(study)
        session.flush()
        if patient is not None and not session.scalar(select(Study.id).where(Study.patient_id == patient.id).limit(1)):
            session.delete(patient)
    remove_files(context, files)
    return True


def purge(context: Context, days: float) -> int:
    """Delete studies that came in more than so many days ago, and what is known of uploads then; return how many."""
    before = context.now() - timedelta(days=days)
    with context.database.reading() as session:
        old = session.scalars(select(Study.id).where(Study.received_at < before)).all()
    deleted = sum(delete_study(context, study_id) for study_id in old)
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
