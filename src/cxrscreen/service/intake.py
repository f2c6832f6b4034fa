"""Bytes -> an image on disk, its rows and jobs in the database: only then it is acknowledged."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import IO, Final

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from cxrscreen.service.archive import members
from cxrscreen.service.context import Context
from cxrscreen.service.dicom_catalogue import list_image
from cxrscreen.service.header import Header, Person, clean, kind_of, read_header
from cxrscreen.service.housekeeping import remove_files
from cxrscreen.service.jobs import enqueue
from cxrscreen.service.patients import contradicts, patient_of
from cxrscreen.service.problems import ServiceError, TooLargeError, UnsupportedContentError
from cxrscreen.service.security.deidentify import Deidentifier, deidentifier_of
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.files import StoredFile
from cxrscreen.service.store.models import (
    Contradiction,
    Image,
    Outcome,
    Patient,
    Source,
    Study,
    Submission,
    SubmissionItem,
)
from cxrscreen.service.store.studies import refresh_study

_LOG = structlog.get_logger(__name__)
_TRIES: Final = 5


@dataclass(frozen=True)
class Upload:
    """A file as it was sent.

    Parameters
    ----------
    content
        Open for reading.
    name
        The sender's name of it: a label, never a path.
    """

    content: IO[bytes]
    name: str | None = None


@dataclass(frozen=True)
class Sender:
    """Who sent files, and by which way they came."""

    name: str
    source: Source


@dataclass(frozen=True)
class Said:
    """What a sender says of pictures, which have no header; of DICOM files their own header counts.

    Parameters
    ----------
    patient
        The hospital's number of the person.
    taken_on
        When the picture was taken.
    """

    patient: str | None = None
    taken_on: date | None = None


@dataclass(frozen=True)
class Taken:
    """What became of one file.

    Parameters
    ----------
    name
        The sender's name of it.
    outcome
        ``"accepted"``, ``"duplicate"`` (its content is here already) or ``"refused"``.
    image_id, study_id
        Where it was not refused.
    problem
        Why it was refused.
    """

    name: str | None
    outcome: Outcome
    image_id: str | None = None
    study_id: str | None = None
    problem: ServiceError | None = None


@dataclass(frozen=True)
class Receipt:
    """An acknowledgement: everything in it that was not refused is on disk, in the database and in the queue."""

    submission_id: str
    received_at: datetime
    taken: tuple[Taken, ...]

    @property
    def accepted(self) -> bool:
        """Whether anything is here now, newly or already."""
        return any(item.outcome != "refused" for item in self.taken)


def take_in(context: Context, uploads: Sequence[Upload], sender: Sender, said: Said | None = None) -> Receipt:
    """Take files in: images, and archives of images.

    The kind of a file is told by its content. The same content twice is one image, so that a sender who got no answer
    may send again. One bad file does not keep the others out.

    Parameters
    ----------
    context
        The store and the limits.
    uploads
        The files.
    sender
        Who sends them.
    said
        What is said of pictures.

    Returns
    -------
    Receipt
        One entry for each file, those in archives included.

    Raises
    ------
    FilesError, sqlalchemy.exc.SQLAlchemyError
        If disk or database cannot take them; what was taken in before that stays, and is a duplicate when sent again.
    """
    submission_id, now = new_id(), context.now()
    with context.database.writing() as session:
        session.add(Submission(id=submission_id, received_at=now, sent_by=sender.name[:128], source=sender.source))
    taken = []
    for position, (upload, problem) in enumerate(_files(context, uploads)):
        item = _take_one(context, upload, problem, sender, said or Said())
        with context.database.writing() as session:
            session.add(
                SubmissionItem(
                    id=new_id(),
                    submission_id=submission_id,
                    position=position,
                    name=item.name,
                    outcome=item.outcome,
                    reason=None if item.problem is None else str(item.problem),
                    # The image may have been deleted since; the item then stands alone.
                    image_id=item.image_id if item.image_id and session.get(Image, item.image_id) else None,
                )
            )
        taken.append(item)
    outcomes = [item.outcome for item in taken]
    _LOG.info("taken in", submission=submission_id, **{name: outcomes.count(name) for name in sorted(set(outcomes))})
    return Receipt(submission_id, now, tuple(taken))


def _files(context: Context, uploads: Iterable[Upload]) -> Iterator[tuple[Upload, ServiceError | None]]:
    """Give every file, those in archives one by one, each with the reason why it is refused at sight."""
    settings = context.settings
    left = settings.max_files
    for upload in uploads:
        if kind_of(upload.content) != "archive":
            left -= 1
            yield upload, None if left >= 0 else _too_many(settings.max_files)
            continue
        inside = members(
            upload.content,
            max_files=max(0, left),
            max_file_bytes=settings.max_file_bytes,
            max_bytes=settings.max_archive_bytes,
        )
        empty = True
        try:
            for member in inside:
                left, empty = left - 1, False
                yield Upload(member.content or upload.content, member.name), member.problem
        except ServiceError as error:
            yield upload, error
        else:
            if empty:
                yield upload, UnsupportedContentError("The archive holds no file; send one with images in it.")


def _too_many(most: int) -> TooLargeError:
    return TooLargeError(f"More than {most} files were sent at once; send the rest in another request.")


def _take_one(context: Context, upload: Upload, problem: ServiceError | None, sender: Sender, said: Said) -> Taken:
    deidentifier = deidentifier_of(context.settings)
    # Senders often name files by their patients: such a name goes before anything can be refused under it.
    name = clean(upload.name, 256) if deidentifier is None else None
    if problem is not None:
        return Taken(name, "refused", problem=problem)
    try:
        _check_size(upload.content, context.settings.max_file_bytes)
        header = read_header(upload.content, context.limits)
        content = upload.content
        if deidentifier is not None:
            said = _deidentified(said, deidentifier)
            content = deidentifier.file(content, is_dicom=header.format == "DICOM")
            header = read_header(content, context.limits)
        header = _completed(header, said)
    except ServiceError as error:
        return Taken(name, "refused", problem=error)
    content.seek(0)
    stored = context.files.put(content)
    try:
        image_id, study_id, new = _registered(context, header, stored, name, sender)
    except Exception:
        remove_files(context, [stored.sha256])
        raise
    context.files.ensure(stored, content)
    return Taken(name, "accepted" if new else "duplicate", image_id, study_id)


def _deidentified(said: Said, deidentifier: Deidentifier) -> Said:
    reference = clean(said.patient, 128)
    pseudonym = None if reference is None else deidentifier.pseudonym(reference)
    return Said(pseudonym, deidentifier.moved(said.taken_on, pseudonym))


def _check_size(content: IO[bytes], largest: int) -> None:
    size = content.seek(0, 2)
    content.seek(0)
    if size == 0:
        raise UnsupportedContentError("The file is empty; send an image.")
    if size > largest:
        raise TooLargeError(f"The file is larger than {largest / 2**20:g} MiB; export the one image by itself.")


def _completed(header: Header, said: Said) -> Header:
    if header.format == "DICOM":
        return header
    reference = clean(said.patient, 128)
    return Header(
        header.format,
        header.rows,
        header.columns,
        taken_on=said.taken_on,
        person=None if reference is None else Person(reference),
    )


def _registered(
    context: Context, header: Header, stored: StoredFile, name: str | None, sender: Sender
) -> tuple[str, str, bool]:
    """Write the rows of an image, unless its content is known: its identifier, its study's, and whether it is new."""
    for tried in range(1, _TRIES + 1):
        try:
            with context.database.writing() as session:
                return _register(session, context, header, stored, name, sender)
        except (IntegrityError, OperationalError):
            # Somebody wrote the same image, study or person at the same moment, or stood in the way of it.
            if tried == _TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def _register(
    session: Session, context: Context, header: Header, stored: StoredFile, name: str | None, sender: Sender
) -> tuple[str, str, bool]:
    now = context.now()
    image = session.scalars(select(Image).where(Image.sha256 == stored.sha256)).first()
    new = image is None
    if image is None:
        study, other = _study(session, header, sender, now)
        image = Image(
            id=new_id(),
            study_id=study.id,
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            format=header.format,
            rows=header.rows,
            columns=header.columns,
            modality=header.modality,
            series_instance_uid=header.series_instance_uid,
            sop_instance_uid=header.sop_instance_uid,
            name=name,
            received_at=now,
        )
        session.add(image)
        # What a reader said before was not said of this image.
        study.reviewed_at = None
        session.flush()
        if other is not None:
            study.patient_contradicted = True
            session.add(Contradiction(image_id=image.id, patient_id=other.id))
            _LOG.warning("patient contradicted", study=study.id, image=image.id)
        list_image(session, context, image)
    used = context.settings.used_systems
    for system in used:
        enqueue(session, image.id, system, now, orders_worklist=system == used[0])
    refresh_study(session, image.study_id)
    return image.id, image.study_id, new


def _study(session: Session, header: Header, sender: Sender, now: datetime) -> tuple[Study, Patient | None]:
    """Give an image's study and, where the study is another person's, whom the image names."""
    if header.study_instance_uid is not None:
        # Locked before a row that refers to it is written: two that lock it after that would wait for each other.
        named = select(Study).where(Study.study_instance_uid == header.study_instance_uid).with_for_update(of=Study)
        known = session.scalars(named).first()
        if known is not None:
            if header.person is None or not contradicts(header.person, known.patient):
                return known, None
            return known, patient_of(session, header.person, now)
    patient = None
    if header.person is not None:
        # Of a picture, a person wrote the number; in a DICOM header a device may have.
        patient = patient_of(session, header.person, now, vouched=header.format != "DICOM")
    study = Study(
        id=new_id(),
        patient_id=None if patient is None else patient.id,
        study_instance_uid=header.study_instance_uid,
        accession_number=header.accession_number,
        taken_on=header.taken_on,
        source=sender.source,
        received_at=now,
        state="waiting",
    )
    session.add(study)
    session.flush()
    return study, None
