"""A DICOM instance comes in, by DICOMweb or C-STORE: the same examination, the same intake, one answer."""

import io
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from cxrscreen.dicom_node.instance import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH,
    NOT_DEIDENTIFIED,
    TOO_LARGE,
    Instance,
    NotTakenError,
    examine,
)
from cxrscreen.service.context import Context
from cxrscreen.service.header import kind_of
from cxrscreen.service.intake import Sender, Upload, take_in
from cxrscreen.service.problems import ServiceError, TooLargeError
from cxrscreen.service.security.deidentify import NotDeidentifiedError, deidentifier_of
from cxrscreen.service.store.exchange import Instance as Listed

COERCED: Final = 0xB000
"""Warning: names and numbers were taken out or replaced."""


@dataclass(frozen=True)
class Stored:
    """What became of one instance.

    Parameters
    ----------
    instance
        As it was sent; None where its identifiers are missing or malformed.
    image_id
        Where it was taken in.
    failure
        Why not: a status of DICOM PS3.4 B.2.3.
    sentence
        The same in words.
    known_as
        Study and SOP instance UID under which it is kept, others than it was sent with after de-identification.
    series_instance_uid
        Of the series in which it can be found; None where another one is found under its identifier.
    """

    instance: Instance | None
    image_id: str | None = None
    failure: int | None = None
    sentence: str = ""
    known_as: tuple[str, str] | None = None
    series_instance_uid: str | None = None

    @property
    def coerced(self) -> bool:
        """Whether it is kept under other identifiers than it was sent with."""
        own = None if self.instance is None else (self.instance.study_instance_uid, self.instance.sop_instance_uid)
        return self.known_as is not None and self.known_as != own


def store_instance(context: Context, content: bytes, sender: Sender, study_instance_uid: str | None = None) -> Stored:
    """Take one instance in; durable, and queued for screening, when this returns.

    Parameters
    ----------
    context
        The store and the limits.
    content
        A DICOM file.
    sender
        Who sends it.
    study_instance_uid
        The study that it has to be of; None: any.

    Raises
    ------
    FilesError, sqlalchemy.exc.SQLAlchemyError
        If disk or database cannot take it.
    """
    try:
        instance = examine(content)
    except NotTakenError as refusal:
        return Stored(refusal.instance, failure=refusal.status, sentence=str(refusal))
    if study_instance_uid is not None and instance.study_instance_uid != study_instance_uid:
        return Stored(instance, failure=DOES_NOT_MATCH, sentence="The instance is of another study than was named")
    (taken,) = take_in(context, [Upload(io.BytesIO(_as_dicom(content)))], sender).taken
    if taken.outcome == "refused":
        return Stored(instance, failure=_failure_of(taken.problem), sentence=str(taken.problem))
    deidentifier = deidentifier_of(context.settings)
    known_as = (instance.study_instance_uid, instance.sop_instance_uid)
    if deidentifier is not None:
        known_as = (deidentifier.uid(known_as[0]), deidentifier.uid(known_as[1]))
    with context.database.reading() as session:
        listed = select(Listed.series_instance_uid).where(
            Listed.image_id == taken.image_id, Listed.sop_instance_uid == known_as[1]
        )
        return Stored(instance, taken.image_id, known_as=known_as, series_instance_uid=session.scalar(listed))


def _failure_of(problem: ServiceError | None) -> int:
    if isinstance(problem, TooLargeError):
        return TOO_LARGE
    return NOT_DEIDENTIFIED if isinstance(problem, NotDeidentifiedError) else CANNOT_UNDERSTAND


def _as_dicom(content: bytes) -> bytes:
    """Empty a preamble that makes the file a picture or an archive as well, since it came as DICOM."""
    return content if kind_of(io.BytesIO(content)) == "dicom" else bytes(128) + content[128:]
