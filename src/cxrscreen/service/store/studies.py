"""Studies: what their jobs and results add up to, and the search through them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxrscreen.service.store.models import Image, Job, Result, Study, StudyState


def refresh_study(session: Session, study_id: str) -> None:
    """Bring a study's state, urgency and finding up to date with its jobs and results.

    A study is ``"waiting"`` while a job of it waits or is worked on; then ``"screened"`` if any image got an answer,
    else ``"refused"`` if the gate refused one, else ``"failed"``. Urgency and finding are those of the most urgent
    image, by the system that orders the worklist, the latest result of each image.

    Parameters
    ----------
    session
        One that writes; it should hold the study's row.
    study_id
        The study; one that is gone is let be.
    """
    study = session.get(Study, study_id, populate_existing=True)
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
    most_urgent = max(scored, key=lambda result: result.triage_score or 0.0, default=None)
    study.urgency = None if most_urgent is None else most_urgent.triage_score
    study.finding = None if most_urgent is None else most_urgent.finding
    study.state = _state(jobs_open=any(job.state in ("waiting", "leased") for job in jobs), results=results)
    session.flush()


def _state(*, jobs_open: bool, results: dict[str, Result]) -> StudyState:
    if jobs_open:
        return "waiting"
    statuses = {result.status for result in results.values()}
    if "screened" in statuses:
        return "screened"
    return "refused" if "refused" in statuses else "failed"
