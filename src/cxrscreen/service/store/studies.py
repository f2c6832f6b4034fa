"""Studies: what their jobs and results add up to, the search through them, and the earlier ones of a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, case, func, or_, select
from sqlalchemy.orm import Session

from cxrscreen.service.store.models import Contradiction, Image, Job, Patient, Result, Study, StudyState

Order = Literal["urgency", "newest", "oldest"]
_OPEN: Final = ("waiting", "leased")


@dataclass(frozen=True)
class Search:
    """What to look for; a field that is None, or empty, does not narrow the search.

    Parameters
    ----------
    states
        Of these.
    findings
        Of these.
    since, until
        Received at or after, and before.
    least_urgency
        Urgency at or above, in [0, 1].
    reviewed
        With or without a reader's feedback.
    patient
        The hospital's number, exactly, or a part of the name.
    accession_number
        Exactly.
    """

    states: tuple[StudyState, ...] = ()
    findings: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    least_urgency: float | None = None
    reviewed: bool | None = None
    patient: str | None = None
    accession_number: str | None = None


def find_studies(
    session: Session, search: Search, order: Order = "urgency", *, limit: int = 50, offset: int = 0
) -> tuple[list[Study], int]:
    """Search.

    Parameters
    ----------
    session
        One that reads.
    search
        What for.
    order
        ``"urgency"``: what nobody reviewed before what somebody did; then studies with an image for which no score is
        known and none to come, for nothing was said of it and a person has to look, first those without a score of any
        image; then by urgency, greatest first, as far as it is known; those that wait for one last. Or by arrival.
    limit, offset
        Which part of the list.

    Returns
    -------
    studies, total
        The part, and how many there are in all.
    """
    wanted = _narrowed(select(Study), search)
    total = session.scalar(select(func.count()).select_from(wanted.with_only_columns(Study.id).subquery())) or 0
    studies = session.scalars(wanted.order_by(*_order(order)).limit(limit).offset(offset)).all()
    return list(studies), total


def earlier_studies(session: Session, study: Study) -> Sequence[Study]:
    """List the other studies of the same person, newest first; none where nobody said who it is."""
    if study.patient_id is None:
        return ()
    others = select(Study).where(Study.patient_id == study.patient_id, Study.id != study.id)
    return session.scalars(others.order_by(Study.taken_on.desc().nulls_last(), Study.received_at.desc())).unique().all()


def doubtful_studies(session: Session, study: Study, *, limit: int) -> Sequence[Study]:
    """List studies that may show the same person and are not listed as theirs, newest first.

    They are of a patient of the same number whose name, birth date or sex is another one, or hold an image that names
    a patient of that number while the study is somebody else's.
    """
    if study.patient is None:
        return ()
    same_number = select(Patient.id).where(
        Patient.reference == study.patient.reference, Patient.issuer == study.patient.issuer
    )
    named_by_image = select(Image.study_id).join(Contradiction).where(Contradiction.patient_id.in_(same_number))
    others = select(Study).where(
        Study.id != study.id,
        or_(Study.patient_id.is_(None), Study.patient_id != study.patient_id),
        or_(Study.patient_id.in_(same_number), Study.id.in_(named_by_image)),
    )
    return session.scalars(others.order_by(Study.received_at.desc(), Study.id).limit(limit)).unique().all()


def refresh_study(session: Session, study_id: str) -> None:
    """Bring a study's state, urgency, finding and number of unscreened images up to date with its jobs and results.

    A study is ``"waiting"`` while a job of it waits or is worked on; then ``"screened"`` if any image got an answer,
    else ``"refused"`` if the gate refused one, else ``"failed"``. Urgency and finding are those of the most urgent
    image, by the system that orders the worklist, the latest result of each image. Unscreened are the images without a
    score from that system, set aside or refused, for which it has no more to do, whatever became of the other images;
    but a lateral view beside a frontal one that has a score is none, since most studies have one.

    Parameters
    ----------
    session
        One that writes.
    study_id
        The study; one that is gone is let be.
    """
    # Held until the transaction ends: who adds or ends a job of the same study waits, and then sees this one.
    study = session.scalars(
        select(Study).where(Study.id == study_id).with_for_update(of=Study).execution_options(populate_existing=True)
    ).first()
    if study is None:
        return
    jobs = session.scalars(select(Job).join(Image).where(Image.study_id == study_id).order_by(Job.round)).all()
    results = {
        result.job_id: result
        for result in session.scalars(select(Result).join(Image).where(Image.study_id == study_id))
    }
    ended = [job.ended_at for job in jobs if job.ended_at is not None]
    study.screened_at = max(ended, default=None)
    latest = {job.image_id: results[job.id] for job in jobs if job.orders_worklist and job.id in results}
    scored = [result for result in latest.values() if result.triage_score is not None]
    open_still = {job.image_id for job in jobs if job.orders_worklist and job.state in _OPEN}
    images = set(session.scalars(select(Image.id).where(Image.study_id == study_id)))
    answered = {result.image_id for result in scored}
    if answered:
        answered |= {result.image_id for result in latest.values() if is_lateral(result)}
    study.unscreened = len(images - open_still - answered)
    most_urgent = max(scored, key=lambda result: result.triage_score or 0.0, default=None)
    study.urgency = None if most_urgent is None else most_urgent.triage_score
    study.finding = None if most_urgent is None else most_urgent.finding
    study.state = _state(jobs_open=any(job.state in _OPEN for job in jobs), results=results)
    session.flush()


def _state(*, jobs_open: bool, results: dict[str, Result]) -> StudyState:
    if jobs_open:
        return "waiting"
    statuses = {result.status for result in results.values()}
    if "screened" in statuses:
        return "screened"
    return "refused" if "refused" in statuses else "failed"


def is_lateral(result: Result) -> bool:
    """Whether the gate refused an image because it is a lateral view."""
    verdict = result.record.get("verdict") or {}
    return result.status == "refused" and any(each["code"] == "lateral" for each in verdict.get("concerns", ()))


def _narrowed(query: Select[Study], search: Search) -> Select[Study]:
    conditions: list[ColumnElement[bool]] = []
    if search.states:
        conditions.append(Study.state.in_(search.states))
    if search.findings:
        conditions.append(Study.finding.in_(search.findings))
    if search.since is not None:
        conditions.append(Study.received_at >= search.since)
    if search.until is not None:
        conditions.append(Study.received_at < search.until)
    if search.least_urgency is not None:
        conditions.append(Study.urgency >= search.least_urgency)
    if search.reviewed is not None:
        conditions.append(Study.reviewed_at.is_not(None) if search.reviewed else Study.reviewed_at.is_(None))
    if search.accession_number is not None:
        conditions.append(Study.accession_number == search.accession_number)
    if search.patient is not None:
        named = Patient.name.icontains(search.patient, autoescape=True)
        people = select(Patient.id).where(or_(Patient.reference == search.patient, named))
        named_by_image = select(Image.study_id).join(Contradiction).where(Contradiction.patient_id.in_(people))
        conditions.append(or_(Study.patient_id.in_(people), Study.id.in_(named_by_image)))
    return query.where(*conditions)


def _order(order: Order) -> tuple[SQLColumnExpression[Any], ...]:
    if order == "urgency":
        # The score of one image says nothing of another one that has none, so that one does not take the other's place.
        # A study may still wait for another system, or for one of its images, and be known to be urgent; and one may be
        # screened by another system alone, which gives no urgency.
        rank = case((Study.unscreened > 0, 0), (Study.urgency.is_not(None), 1), (Study.state == "waiting", 2), else_=0)
        return Study.reviewed_at.is_not(None), rank, Study.urgency.desc().nulls_first(), Study.received_at, Study.id
    arrival = Study.received_at.desc() if order == "newest" else Study.received_at.asc()
    return arrival, Study.id
