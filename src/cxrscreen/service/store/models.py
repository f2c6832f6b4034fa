"""The tables of the work: patients, studies, images, submissions, jobs, results, maps and feedback."""

from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cxrscreen.service.store.columns import Base, Digest, Id, Text, Word, new_id

JobState = Literal["waiting", "leased", "done", "set_aside"]
StudyState = Literal["waiting", "screened", "refused", "failed"]
Outcome = Literal["accepted", "duplicate", "refused"]
Source = Literal["api", "page", "dicomweb", "node"]
Diagnosis = Literal["normal", "covid19", "other_pneumonia", "bacterial", "tuberculosis", "viral", "other", "unclear"]
StoredKind = Literal["mask", "saliency", "coverage", "looked_at"]
"""Of a stored map: an organ's mask, the contract's two kinds of map, and where the map of that name knows anything."""
TestResult = Literal["positive", "negative", "indeterminate"]


class Patient(Base):
    """A person as the sender names them: what ties studies to earlier ones."""

    __tablename__ = "patients"
    __table_args__ = (UniqueConstraint("reference", "issuer", "bearer"),)

    id: Mapped[Id]
    reference: Mapped[str] = mapped_column(String(128))
    """The hospital's number (DICOM Patient ID)."""
    issuer: Mapped[str] = mapped_column(String(128), default="")
    bearer: Mapped[int] = mapped_column(default=1)
    """Counts the people whom one number of one issuer was sent for; see :mod:`cxrscreen.service.patients`."""
    name: Mapped[str | None] = mapped_column(String(256))
    birth_date: Mapped[date | None]
    sex: Mapped[str | None] = mapped_column(String(1))
    created_at: Mapped[datetime]


class Study(Base):
    """Images taken on one occasion; a picture without DICOM header is a study of its own."""

    __tablename__ = "studies"
    __table_args__ = (
        Index(None, "state", "urgency"),
        Index(None, "received_at"),
    )

    id: Mapped[Id]
    patient_id: Mapped[str | None] = mapped_column(ForeignKey("patients.id", ondelete="SET NULL"), index=True)
    """Whom its first image names."""
    patient_contradicted: Mapped[bool] = mapped_column(default=False)
    """Whether a later image names somebody else."""
    study_instance_uid: Mapped[str | None] = mapped_column(String(64), unique=True)
    accession_number: Mapped[str | None] = mapped_column(String(64), index=True)
    taken_on: Mapped[date | None]
    source: Mapped[Word]
    received_at: Mapped[datetime]
    state: Mapped[Word] = mapped_column(default="waiting")
    """Kept up by :func:`cxrscreen.service.store.studies.refresh_study` with what follows."""
    urgency: Mapped[float | None]
    """Largest triage score of the system that orders the worklist."""
    finding: Mapped[str | None] = mapped_column(String(32))
    """That of the most urgent image."""
    unscreened: Mapped[int] = mapped_column(default=0)
    """How many of its images that system gave no score for, with nothing more to come from it: a person has to look."""
    screened_at: Mapped[datetime | None]
    """When the last of its jobs ended."""
    reviewed_at: Mapped[datetime | None]
    """When a reader last gave feedback; nothing where an image came in after that."""

    patient: Mapped[Patient | None] = relationship(lazy="joined")
    images: Mapped[list["Image"]] = relationship(
        back_populates="study", order_by="Image.received_at", passive_deletes=True, cascade="all, delete-orphan"
    )
    feedback: Mapped[list["Feedback"]] = relationship(
        order_by="Feedback.given_at", passive_deletes=True, cascade="all, delete-orphan"
    )


class Image(Base):
    """One image file, known by its content."""

    __tablename__ = "images"

    id: Mapped[Id]
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[Digest] = mapped_column(unique=True)
    size_bytes: Mapped[int]
    format: Mapped[Word]
    rows: Mapped[int]
    columns: Mapped[int]
    modality: Mapped[str | None] = mapped_column(String(16))
    series_instance_uid: Mapped[str | None] = mapped_column(String(64))
    sop_instance_uid: Mapped[str | None] = mapped_column(String(64), index=True)
    name: Mapped[str | None] = mapped_column(String(256))
    """The sender's name of the file, shown to readers alone."""
    received_at: Mapped[datetime]

    study: Mapped[Study] = relationship(back_populates="images")
    other_patient: Mapped[Patient | None] = relationship(secondary="contradictions", uselist=False, viewonly=True)
    """Whom the file names, where that is not its study's patient."""
    jobs: Mapped[list["Job"]] = relationship(
        back_populates="image", order_by="Job.created_at", passive_deletes=True, cascade="all, delete-orphan"
    )
    results: Mapped[list["Result"]] = relationship(
        back_populates="image", order_by="Result.made_at", passive_deletes=True, cascade="all, delete-orphan"
    )


class Contradiction(Base):
    """An image that names somebody else than its study's patient."""

    __tablename__ = "contradictions"

    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    patient_id: Mapped[str] = mapped_column(ForeignKey("patients.id", ondelete="CASCADE"), index=True)
    """Whom it names."""


class Submission(Base):
    """One upload of one or many files."""

    __tablename__ = "submissions"

    id: Mapped[Id]
    received_at: Mapped[datetime] = mapped_column(index=True)
    sent_by: Mapped[str] = mapped_column(String(128))
    source: Mapped[Word]

    items: Mapped[list["SubmissionItem"]] = relationship(
        order_by="SubmissionItem.position", passive_deletes=True, cascade="all, delete-orphan"
    )


class SubmissionItem(Base):
    """What became of one file of a submission."""

    __tablename__ = "submission_items"
    __table_args__ = (UniqueConstraint("submission_id", "position"),)

    id: Mapped[Id]
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id", ondelete="CASCADE"))
    position: Mapped[int]
    name: Mapped[str | None] = mapped_column(String(256))
    outcome: Mapped[Word]
    reason: Mapped[Text | None]
    image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id", ondelete="SET NULL"), index=True)

    image: Mapped[Image | None] = relationship()


class Job(Base):
    """The work of screening one image with one system."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("image_id", "system", "round"),
        Index(None, "state", "priority", "created_at"),
    )

    id: Mapped[Id]
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    system: Mapped[Word]
    round: Mapped[int] = mapped_column(default=1)
    """Counts how often the image was given to the system, on a person's demand."""
    orders_worklist: Mapped[bool]
    """Whether its score is the study's urgency."""
    priority: Mapped[int] = mapped_column(default=0)
    """Smaller is done first."""
    state: Mapped[Word] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    worker: Mapped[str | None] = mapped_column(String(128))
    lease: Mapped[str | None] = mapped_column(String(32))
    """Drawn anew each time the job is leased; who does not hold it cannot write a result."""
    leased_until: Mapped[datetime | None]
    reason: Mapped[Text | None]
    """Why the last attempt failed, or why the image was set aside."""
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    image: Mapped[Image] = relationship(back_populates="jobs")
    result: Mapped["Result | None"] = relationship(back_populates="job", passive_deletes=True)


class Result(Base):
    """What a system said of an image: one for each job that is done, and no second."""

    __tablename__ = "results"
    __table_args__ = (Index(None, "made_at"),)

    id: Mapped[Id]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), unique=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), index=True)
    system: Mapped[Word]
    bundle: Mapped[str] = mapped_column(String(128))
    status: Mapped[Word]
    finding: Mapped[str | None] = mapped_column(String(32))
    triage_score: Mapped[float | None]
    quality: Mapped[str | None] = mapped_column(String(16))
    record: Mapped[dict[str, Any]] = mapped_column(JSON)
    """A :class:`~cxrscreen.report.record.ScreeningRecord`; its ``file`` is the image's identifier."""
    stages: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    classes: Mapped[dict[str, float]] = mapped_column(JSON)
    made_at: Mapped[datetime]

    job: Mapped[Job] = relationship(back_populates="result")
    image: Mapped[Image] = relationship(back_populates="results")
    maps: Mapped[list["StoredMap"]] = relationship(
        order_by="StoredMap.position", passive_deletes=True, cascade="all, delete-orphan"
    )


class StoredMap(Base):
    """A saliency map, or a mask, of a result: a grey PNG among the files."""

    __tablename__ = "maps"
    __table_args__ = (UniqueConstraint("result_id", "name"),)

    id: Mapped[Id]
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"))
    position: Mapped[int]
    name: Mapped[Word]
    kind: Mapped[Word]
    """One of :data:`StoredKind`."""
    title: Mapped[str] = mapped_column(String(256))
    lung_share: Mapped[float | None]
    sha256: Mapped[Digest] = mapped_column(index=True)
    size_bytes: Mapped[int]
    rows: Mapped[int]
    columns: Mapped[int]


class Feedback(Base):
    """What a reader said of a study; nothing is overwritten, the latest counts."""

    __tablename__ = "feedback"

    id: Mapped[Id]
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    result_id: Mapped[str | None] = mapped_column(ForeignKey("results.id", ondelete="SET NULL"), index=True)
    author: Mapped[str] = mapped_column(String(128))
    given_at: Mapped[datetime] = mapped_column(index=True)
    agrees: Mapped[bool | None]
    final_diagnosis: Mapped[str | None] = mapped_column(String(32))
    rt_pcr_result: Mapped[str | None] = mapped_column(String(16))
    rt_pcr_on: Mapped[date | None]
    symptom_onset: Mapped[date | None]
    comment: Mapped[str | None] = mapped_column(String(2000))


__all__ = [
    "Base",
    "Contradiction",
    "Diagnosis",
    "Feedback",
    "Image",
    "Job",
    "JobState",
    "Outcome",
    "Patient",
    "Result",
    "Source",
    "StoredKind",
    "StoredMap",
    "Study",
    "StudyState",
    "Submission",
    "SubmissionItem",
    "TestResult",
    "new_id",
]
