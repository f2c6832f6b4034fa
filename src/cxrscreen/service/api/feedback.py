"""What readers say of a study: agreement, final diagnosis, RT-PCR, onset of symptoms."""

from datetime import date
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from sqlalchemy import select

from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import AuditLog, Id, Reader, Viewer
from cxrscreen.service.api.views import Feedback, feedback_view
from cxrscreen.service.context import Here
from cxrscreen.service.header import clean
from cxrscreen.service.problems import ConflictError, NotFoundError
from cxrscreen.service.store import models
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.models import Diagnosis, TestResult

router = APIRouter(prefix=f"{PREFIX}/studies", tags=["feedback"])


class Said(BaseModel):
    """What a reader says; at least one of the fields besides ``result``."""

    model_config = ConfigDict(extra="forbid")

    result: str | None = Field(None, pattern="^[0-9a-f]{32}$", description="The result that is judged.")
    agrees: bool | None = Field(None, description="With that result's finding.")
    final_diagnosis: Diagnosis | None = None
    rt_pcr_result: TestResult | None = None
    rt_pcr_on: date | None = Field(None, description="Day of the sample.")
    symptom_onset: date | None = None
    comment: str | None = Field(None, max_length=2000)

    @field_validator("comment")
    @classmethod
    def _printable(cls, comment: str | None) -> str | None:
        # Line ends are not printable, and taken out would leave the words at both sides of them as one.
        return None if comment is None else clean(" ".join(comment.split()), 2000)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        said = (self.agrees, self.final_diagnosis, self.rt_pcr_result, self.symptom_onset, self.comment)
        if all(value is None for value in said):
            raise ValueError("say something: agreement, diagnosis, RT-PCR, onset or a comment")
        if (self.rt_pcr_result is None) != (self.rt_pcr_on is None):
            raise ValueError("an RT-PCR result and its day belong together")
        if self.agrees is not None and self.result is None:
            raise ValueError("name the result that you agree or disagree with")
        return self


Shown = Annotated[int | None, Query(ge=1, description="How many images of the study the reader was shown.")]


@router.post("/{study_id}/feedback", status_code=201)
def say(study_id: Id, said: Said, here: Here, asking: Reader, log: AuditLog, images: Shown = None) -> Feedback:
    """Say something of a study; nothing is overwritten, the latest word of the last reader counts.

    Where the study has more images by now than the reader was shown, it stays one to read.
    """
    with here.database.writing() as session:
        # Locked, as who adds an image or deletes the study locks it: either is seen here, or sees this.
        named = select(models.Study).where(models.Study.id == study_id).with_for_update(of=models.Study)
        study = session.scalars(named).first()
        if study is None:
            raise NotFoundError("There is no such study; check its identifier, or it was deleted.")
        if said.result is not None:
            result = session.get(models.Result, said.result)
            if result is None or result.image.study_id != study_id:
                raise ConflictError("The result is not one of this study; name one of its results.")
        now = here.now()
        row = models.Feedback(
            id=new_id(),
            study_id=study_id,
            result_id=said.result,
            author=asking.name,
            given_at=now,
            agrees=said.agrees,
            final_diagnosis=said.final_diagnosis,
            rt_pcr_result=said.rt_pcr_result,
            rt_pcr_on=said.rt_pcr_on,
            symptom_onset=said.symptom_onset,
            comment=said.comment,
        )
        session.add(row)
        if images is None or images >= len(study.images):
            study.reviewed_at = now
        session.flush()
        view = feedback_view(row)
    log("study.feedback_given", "study", study_id)
    return view


@router.get("/{study_id}/feedback")
def feedback(study_id: Id, here: Here, _asking: Viewer, log: AuditLog) -> list[Feedback]:
    """List what readers said, oldest first."""
    with here.database.reading() as session:
        study = session.get(models.Study, study_id)
        if study is None:
            raise NotFoundError("There is no such study; check its identifier, or it was deleted.")
        views = [feedback_view(row) for row in study.feedback]
    log("study.feedback_seen", "study", study_id, sparsely=True)
    return views
