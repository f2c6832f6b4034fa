"""The queue: jobs in the database, leased to one worker at a time by the database's own locking."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast, get_args

from sqlalchemy import CursorResult, func, or_, select, update
from sqlalchemy.orm import Session

from cxrscreen.errors import CxrscreenError
from cxrscreen.service.store.columns import LONGEST_REASON, new_id
from cxrscreen.service.store.models import Image, Job, JobState, Result, Study
from cxrscreen.service.store.studies import refresh_study

LONGEST_WAIT: Final = timedelta(hours=1)
"""Between two attempts."""
LONGEST_STORAGE_WAIT: Final = timedelta(minutes=5)
"""Between two looks whether a storage that was away is back; they cost little, and everything waits for it."""
STORAGE_PATIENCE: Final = timedelta(days=7)
"""Age at which work is given up that fails because of the storage: its file is gone, and nobody has restored it."""
_OTHERS_FIRST: Final = 100


class LeaseLostError(CxrscreenError):
    """A worker was too slow, or the image was deleted meanwhile: somebody else has the job, or nobody."""


@dataclass(frozen=True)
class Lease:
    """A job in the hands of one worker.

    Parameters
    ----------
    job_id, image_id, study_id
        What it is about.
    key
        Drawn for this lease; whoever does not hold the job's present key cannot end it.
    sha256
        The image's file.
    system
        The system that is to screen it.
    attempt
        From 1.
    """

    job_id: str
    image_id: str
    study_id: str
    key: str
    sha256: str
    system: str
    attempt: int


def enqueue(
    session: Session, image_id: str, system: str, now: datetime, *, orders_worklist: bool, again: bool = False
) -> Job:
    """Add the job of screening an image with a system, or give the one there is.

    Parameters
    ----------
    session
        One that writes.
    image_id, system
        What is to be done.
    now
        The moment.
    orders_worklist
        Whether the score becomes the study's urgency.
    again
        Add one although there is one already, unless that has not ended.
    """
    latest = session.scalars(
        select(Job).where(Job.image_id == image_id, Job.system == system).order_by(Job.round.desc()).limit(1)
    ).first()
    if latest is not None and (not again or latest.state in ("waiting", "leased")):
        return latest
    job = Job(
        id=new_id(),
        image_id=image_id,
        system=system,
        round=1 if latest is None else latest.round + 1,
        orders_worklist=orders_worklist,
        priority=0 if orders_worklist else _OTHERS_FIRST,
        state="waiting",
        attempts=0,
        not_before=now,
        created_at=now,
    )
    session.add(job)
    session.flush()
    return job


def lease(
    session: Session, worker: str, systems: Sequence[str], now: datetime, *, seconds: float, max_attempts: int
) -> Lease | None:
    """Take the next job: the one of the smallest priority, then the oldest, that waits or whose worker fell silent.

    A job that was leased ``max_attempts`` times without an end, because each worker died of it, is set aside here.

    Parameters
    ----------
    session
        One that writes. On PostgreSQL the row is locked and locked ones are skipped, on SQLite the whole database is.
    worker
        Who takes it, for people.
    systems
        Those that the worker has.
    now
        The moment; workers on several machines need the same clock to within the lease's length.
    seconds
        Length of the lease.
    max_attempts
        Of each job.

    Returns
    -------
    Lease or None
        None where there is nothing to do.
    """
    while True:
        due = (Job.state == "waiting") & (Job.not_before <= now)
        silent = (Job.state == "leased") & (Job.leased_until < now)
        job = session.scalars(
            select(Job)
            .where(Job.system.in_(systems), or_(due, silent))
            .order_by(Job.priority, Job.created_at, Job.id)
            .limit(1)
            .with_for_update(skip_locked=True, of=Job)
        ).first()
        if job is None:
            return None
        image = session.get_one(Image, job.image_id)
        if job.attempts >= max_attempts:
            job.state, job.ended_at, job.lease, job.leased_until = "set_aside", now, None, None
            job.reason = job.reason or f"The worker ended {job.attempts} times while it screened this image."
            session.flush()
            refresh_study(session, image.study_id)
            continue
        job.state, job.worker, job.lease = "leased", worker, new_id()
        job.leased_until = now + timedelta(seconds=seconds)
        job.attempts += 1
        session.flush()
        return Lease(job.id, job.image_id, image.study_id, job.lease, image.sha256, job.system, job.attempts)


def extend(session: Session, held: Lease, now: datetime, seconds: float) -> bool:
    """Prolong a lease; False where it is lost."""
    return _change(session, held, leased_until=now + timedelta(seconds=seconds))


def finish(session: Session, held: Lease, result: Result, now: datetime) -> None:
    """End a job with its result, in the transaction that holds both.

    Raises
    ------
    LeaseLostError
        If somebody else holds the job by now; the caller's transaction then has to end without a trace.
    """
    _end(session, held, "done", None, now)
    session.add(result)
    session.flush()
    refresh_study(session, held.study_id)


def set_aside(session: Session, held: Lease, reason: str, now: datetime) -> None:
    """End a job without a result, with the reason in one sentence.

    Raises
    ------
    LeaseLostError
        As :func:`finish`.
    """
    _end(session, held, "set_aside", reason[:LONGEST_REASON], now)
    refresh_study(session, held.study_id)


def retry(session: Session, held: Lease, reason: str, now: datetime, *, wait_seconds: float, max_attempts: int) -> bool:
    """Give a job back for another attempt, later with each; set it aside where that was the last.

    Parameters
    ----------
    session, held, now
        As above.
    reason
        Why the attempt failed, one sentence.
    wait_seconds
        Before the second attempt; it doubles with each further one, up to an hour.
    max_attempts
        Of the job.

    Returns
    -------
    bool
        Whether there will be another attempt.

    Raises
    ------
    LeaseLostError
        As :func:`finish`.
    """
    if held.attempt >= max_attempts:
        set_aside(session, held, f"{reason} This happened {held.attempt} times.", now)
        return False
    wait = min(timedelta(seconds=wait_seconds) * 2 ** min(held.attempt - 1, 20), LONGEST_WAIT)
    kept = reason[:LONGEST_REASON]
    if not _change(session, held, state="waiting", lease=None, leased_until=None, reason=kept, not_before=now + wait):
        raise _lost()
    return True


def next_look(since: datetime, now: datetime, seconds: float) -> datetime | None:
    """Tell when to try again what failed because a disk or a database is away, which is nobody's attempt.

    Parameters
    ----------
    since
        When the work came up.
    now
        The moment.
    seconds
        The shortest wait. It grows with the age of the work, up to :data:`LONGEST_STORAGE_WAIT`.

    Returns
    -------
    datetime or None
        None where the work is older than :data:`STORAGE_PATIENCE`: a person has to look at it.
    """
    age = now - since
    if age > STORAGE_PATIENCE:
        return None
    return now + min(max(age, timedelta(seconds=seconds)), LONGEST_STORAGE_WAIT)


def postpone(session: Session, held: Lease, reason: str, now: datetime, *, wait_seconds: float) -> bool:
    """Give a job back that failed for no fault of its image: no attempt is counted, and it shows why it waits.

    Parameters
    ----------
    session, held, now
        As above.
    reason
        What is away, one sentence.
    wait_seconds
        See :func:`next_look`.

    Returns
    -------
    bool
        Whether there will be another try; False where it was too old and was set aside with the reason.

    Raises
    ------
    LeaseLostError
        As :func:`finish`.
    """
    since = session.scalar(select(Job.created_at).where(Job.id == held.job_id))
    if since is None:
        raise _lost()
    again = next_look(since, now, wait_seconds)
    if again is None:
        set_aside(session, held, f"{reason} It has been so for days.", now)
        return False
    kept = {"reason": reason[:LONGEST_REASON], "not_before": again, "attempts": Job.attempts - 1}
    if not _change(session, held, state="waiting", lease=None, leased_until=None, **kept):
        raise _lost()
    return True


def give_back(session: Session, held: Lease, now: datetime) -> None:
    """Give an unfinished job back as if it had not been taken, for a worker that stops."""
    _change(session, held, state="waiting", lease=None, leased_until=None, not_before=now, attempts=Job.attempts - 1)


@dataclass(frozen=True)
class QueueFigures:
    """The queue in figures.

    Parameters
    ----------
    jobs
        Number by state.
    oldest_waiting_seconds
        Age of the oldest job that waits, 0 for none.
    results
        Number by system, status and finding (``"none"`` for a refused one).
    """

    jobs: Mapping[str, int]
    oldest_waiting_seconds: float
    results: Mapping[tuple[str, str, str], int]


def queue_figures(session: Session, now: datetime) -> QueueFigures:
    """Count jobs and results."""
    counted = Counter({row[0]: row[1] for row in session.execute(select(Job.state, func.count()).group_by(Job.state))})
    oldest = session.scalar(select(func.min(Job.created_at)).where(Job.state == "waiting"))
    by_answer = select(Result.system, Result.status, Result.finding, func.count()).group_by(
        Result.system, Result.status, Result.finding
    )
    return QueueFigures(
        {state: counted[state] for state in get_args(JobState)},
        0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
        {(system, status, finding or "none"): n for system, status, finding, n in session.execute(by_answer)},
    )


def _end(session: Session, held: Lease, state: JobState, reason: str | None, now: datetime) -> None:
    # The study first, so that two workers that end jobs of one study do so one after the other and both are counted.
    session.execute(select(Study.id).where(Study.id == held.study_id).with_for_update())
    if not _change(session, held, state=state, reason=reason, ended_at=now, lease=None, leased_until=None):
        raise _lost()


def _change(session: Session, held: Lease, **values: object) -> bool:
    changed = session.execute(
        update(Job)
        .where(Job.id == held.job_id, Job.state == "leased", Job.lease == held.key)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return cast("CursorResult[object]", changed).rowcount == 1


def _lost() -> LeaseLostError:
    return LeaseLostError("The job was given to another worker, or its image was deleted; nothing was written.")
