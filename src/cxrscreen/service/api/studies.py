"""The worklist, one study, the earlier ones of the same person, and deletion."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from cxrscreen import RESEARCH_USE
from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import Admin, AuditLog, Id, Viewer
from cxrscreen.service.api.moments import Moment
from cxrscreen.service.api.views import Study, StudySummary, study_view, summary_view
from cxrscreen.service.context import Here
from cxrscreen.service.housekeeping import delete_study
from cxrscreen.service.problems import NotFoundError
from cxrscreen.service.store import models
from cxrscreen.service.store.models import StudyState
from cxrscreen.service.store.studies import Order, Search, earlier_studies, find_studies
from cxrscreen.systems.contract import Finding

router = APIRouter(prefix=f"{PREFIX}/studies", tags=["studies"])


class Filters(BaseModel):
    """What to look for, and which part of the list to give; nothing here can name a person."""

    model_config = ConfigDict(extra="forbid")

    state: tuple[StudyState, ...] = ()
    finding: tuple[Finding, ...] = ()
    since: Moment | None = Field(None, description="Received at or after this moment, with its zone.")
    until: Moment | None = Field(None, description="Received before this moment, with its zone.")
    least_urgency: float | None = Field(None, ge=0.0, le=1.0, allow_inf_nan=False)
    reviewed: bool | None = Field(None, description="With, or without, a reader's feedback.")
    order: Order = "urgency"
    limit: int = Field(50, ge=1, le=500)
    offset: int = Field(0, ge=0, le=1_000_000)


class PersonalFilters(Filters):
    """A search that names a person; sent in a body, since addresses end in logs."""

    patient: str | None = Field(None, min_length=1, max_length=128, description="Number, or a part of the name.")
    accession_number: str | None = Field(None, min_length=1, max_length=64)


class StudyList(BaseModel):
    """A part of the worklist."""

    total: int
    offset: int
    studies: list[StudySummary]
    research_use: str = RESEARCH_USE


@router.get("")
def studies(here: Here, _asking: Viewer, log: AuditLog, filters: Annotated[Filters, Query()]) -> StudyList:
    """List studies in the order in which to read them, or by arrival.

    In the order of urgency come first the studies that nobody reviewed; among them first those with an image that
    got no score, for a person has to look at it, then by urgency. The order is a suggestion: every radiograph has to be
    read.
    """
    with here.database.reading() as session:
        found = _found(session, filters, None, None)
    log("study.listed", "service", None, sparsely=True)
    return found


@router.post("/search")
def search(here: Here, _asking: Viewer, log: AuditLog, filters: PersonalFilters) -> StudyList:
    """List studies as above, also by person or accession number."""
    with here.database.reading() as session:
        found = _found(session, filters, filters.patient, filters.accession_number)
    log("study.searched", "service", None, found=found.total)
    return found


@router.get("/{study_id}")
def study(study_id: Id, here: Here, _asking: Viewer, log: AuditLog) -> Study:
    """Show a study: its images, the state of their screening, and what readers said."""
    with here.database.reading() as session:
        view = study_view(_study(session, study_id))
    log("study.seen", "study", study_id)
    return view


@router.get("/{study_id}/earlier")
def earlier(study_id: Id, here: Here, _asking: Viewer, log: AuditLog) -> list[Study]:
    """Show the other studies of the same person, newest first, for a timeline."""
    with here.database.reading() as session:
        views = [study_view(other) for other in earlier_studies(session, _study(session, study_id))]
    log("study.earlier_seen", "study", study_id, found=len(views))
    return views


@router.delete("/{study_id}", status_code=204)
def delete(study_id: Id, here: Here, _asking: Admin, log: AuditLog) -> Response:
    """Delete a study with its images, results and feedback, for good."""
    if not delete_study(here, study_id):
        raise _missing()
    log("study.deleted", "study", study_id)
    return Response(status_code=204)


def _found(session: Session, filters: Filters, patient: str | None, accession_number: str | None) -> StudyList:
    since: datetime | None = filters.since
    wanted = Search(
        states=filters.state,
        findings=filters.finding,
        since=since,
        until=filters.until,
        least_urgency=filters.least_urgency,
        reviewed=filters.reviewed,
        patient=patient,
        accession_number=accession_number,
    )
    found, total = find_studies(session, wanted, filters.order, limit=filters.limit, offset=filters.offset)
    return StudyList(total=total, offset=filters.offset, studies=[summary_view(study) for study in found])


def _study(session: Session, study_id: str) -> models.Study:
    found = session.get(models.Study, study_id)
    if found is None:
        raise _missing()
    return found


def _missing() -> NotFoundError:
    return NotFoundError("There is no such study; check its identifier, or it was deleted.")
