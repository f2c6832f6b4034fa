"""What the API tells of the database's rows."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field

from cxrscreen import RESEARCH_USE
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.service.store import models
from cxrscreen.service.store.results import record_of


class Patient(BaseModel):
    """Whom a study shows, as its sender names them."""

    id: str
    reference: str
    issuer: str
    name: str | None
    birth_date: date | None
    sex: str | None


class Job(BaseModel):
    """The work of screening an image with one system."""

    id: str
    system: str
    round: int
    state: str = Field(description="'waiting', 'leased' (being worked on), 'done' or 'set_aside'.")
    attempts: int
    reason: str | None = Field(description="Why the last attempt failed, or why the image was set aside.")
    result: str | None = Field(description="The result's identifier, once it is done.")
    created_at: datetime
    ended_at: datetime | None


class Image(BaseModel):
    """One image file and the state of its screening."""

    id: str
    study: str
    format: str
    rows: int
    columns: int
    modality: str | None
    size_bytes: int
    name: str | None = Field(description="The sender's name of the file.")
    other_patient: Patient | None = Field(description="Whom the file names, where that is not the study's patient.")
    received_at: datetime
    jobs: list[Job]


class Feedback(BaseModel):
    """What a reader said of a study."""

    id: str
    study: str
    result: str | None
    author: str
    given_at: datetime
    agrees: bool | None
    final_diagnosis: str | None
    rt_pcr_result: str | None
    rt_pcr_on: date | None
    symptom_onset: date | None
    comment: str | None


class StudySummary(BaseModel):
    """A line of the worklist."""

    id: str
    state: str = Field(description="'waiting', 'screened', 'refused' or 'failed'.")
    urgency: float | None = Field(description="In [0, 1]; larger is read first. No probability of disease.")
    finding: str | None
    source: str
    received_at: datetime
    screened_at: datetime | None
    reviewed_at: datetime | None
    taken_on: date | None
    accession_number: str | None
    patient: Patient | None
    patient_contradicted: bool = Field(description="Whether an image of the study names somebody else.")
    unscreened: int = Field(description="Images that were refused or failed; nobody but a reader looks at them.")


class Study(StudySummary):
    """A study with its images and what readers said."""

    images: list[Image]
    feedback: list[Feedback]
    research_use: str = RESEARCH_USE


class StoredMap(BaseModel):
    """A map or a mask of a result; its picture is ``maps/<name>.png`` below the result."""

    name: str
    kind: str = Field(description="'mask', 'saliency', or 'coverage': where the system looked, no explanation.")
    title: str
    lung_share: float | None = Field(description="Share of the map's sum inside the lungs; null for the mask.")
    rows: int
    columns: int


class Result(BaseModel):
    """What a system said of an image."""

    id: str
    image: str
    study: str
    job: str
    system: str
    bundle: str
    made_at: datetime
    record: ScreeningRecord = Field(description="The result; its 'file' is the image's identifier.")
    stages: list[dict[str, Any]] = Field(description="The decisions with their operating points.")
    classes: dict[str, float]
    maps: list[StoredMap]
    research_use: str = RESEARCH_USE


class SubmissionItem(BaseModel):
    """What became of one file."""

    name: str | None
    outcome: str = Field(description="'accepted', 'duplicate' (its content is here already) or 'refused'.")
    reason: str | None
    image: str | None
    study: str | None
    jobs: list[Job]


class Submission(BaseModel):
    """What became of an upload."""

    id: str
    received_at: datetime
    items: list[SubmissionItem]
    research_use: str = RESEARCH_USE


def patient_view(patient: models.Patient | None) -> Patient | None:
    """Tell whom a study shows."""
    return None if patient is None else Patient.model_validate(patient, from_attributes=True)


def job_view(job: models.Job) -> Job:
    """Tell of a job."""
    return Job(
        id=job.id,
        system=job.system,
        round=job.round,
        state=job.state,
        attempts=job.attempts,
        reason=job.reason,
        result=None if job.result is None else job.result.id,
        created_at=job.created_at,
        ended_at=job.ended_at,
    )


def image_view(image: models.Image) -> Image:
    """Tell of an image."""
    return Image(
        id=image.id,
        study=image.study_id,
        format=image.format,
        rows=image.rows,
        columns=image.columns,
        modality=image.modality,
        size_bytes=image.size_bytes,
        name=image.name,
        other_patient=patient_view(image.other_patient),
        received_at=image.received_at,
        jobs=[job_view(job) for job in image.jobs],
    )


def feedback_view(feedback: models.Feedback) -> Feedback:
    """Tell what a reader said."""
    return Feedback(
        id=feedback.id,
        study=feedback.study_id,
        result=feedback.result_id,
        author=feedback.author,
        given_at=feedback.given_at,
        agrees=feedback.agrees,
        final_diagnosis=feedback.final_diagnosis,
        rt_pcr_result=feedback.rt_pcr_result,
        rt_pcr_on=feedback.rt_pcr_on,
        symptom_onset=feedback.symptom_onset,
        comment=feedback.comment,
    )


def summary_view(study: models.Study) -> StudySummary:
    """Tell of a study in a line."""
    return StudySummary(**_summary(study))


def study_view(study: models.Study) -> Study:
    """Tell of a study."""
    return Study(
        **_summary(study),
        images=[image_view(image) for image in study.images],
        feedback=[feedback_view(feedback) for feedback in study.feedback],
    )


def result_view(result: models.Result) -> Result:
    """Tell of a result."""
    return Result(
        id=result.id,
        image=result.image_id,
        study=result.image.study_id,
        job=result.job_id,
        system=result.system,
        bundle=result.bundle,
        made_at=result.made_at,
        record=record_of(result),
        stages=result.stages,
        classes=result.classes,
        maps=[
            StoredMap.model_validate(stored, from_attributes=True)
            for stored in result.maps
            if stored.kind != "looked_at"
        ],
    )


def submission_view(submission: models.Submission) -> Submission:
    """Tell of an upload."""
    return Submission(
        id=submission.id,
        received_at=submission.received_at,
        items=[
            SubmissionItem(
                name=item.name,
                outcome=item.outcome,
                reason=item.reason,
                image=item.image_id,
                study=None if item.image is None else item.image.study_id,
                jobs=[] if item.image is None else [job_view(job) for job in item.image.jobs],
            )
            for item in submission.items
        ],
    )


def _summary(study: models.Study) -> dict[str, Any]:
    return {
        "id": study.id,
        "state": study.state,
        "urgency": study.urgency,
        "finding": study.finding,
        "source": study.source,
        "received_at": study.received_at,
        "screened_at": study.screened_at,
        "reviewed_at": study.reviewed_at,
        "taken_on": study.taken_on,
        "accession_number": study.accession_number,
        "patient": patient_view(study.patient),
        "patient_contradicted": study.patient_contradicted,
        "unscreened": study.unscreened,
    }
