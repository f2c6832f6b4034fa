"""Live figures: volumes, turnaround, agreement with readers, drift of the scores. Numbers in, plain numbers out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cxrscreen.service.store.models import Feedback, Image, Job, Result, Study

FEWEST: Final = 20
"""Below so many values no agreement interval and no drift is told."""
_SOON: Final = 0.001


@dataclass(frozen=True)
class Day:
    """One day (UTC): images received, screened, refused, and set aside for good.

    An image counts once, by the system that orders the worklist, on the day of that system's first result of it; as set
    aside it counts while it has none.
    """

    day: date
    received: int
    screened: int
    refused: int
    set_aside: int


@dataclass(frozen=True)
class Turnaround:
    """Seconds from an image's acknowledgement to its result: median, nine in ten, the longest, of how many."""

    images: int
    median: float | None
    ninetieth_percentile: float | None
    longest: float | None


@dataclass(frozen=True)
class Agreement:
    """Readers who agreed with a result, by the last word of each on it.

    Parameters
    ----------
    system, bundle
        Whose results; another version is another matter.
    judged, agreed
        Numbers.
    share, low, high
        The share with its 95 % Wilson interval; None below 20. It is no accuracy: readers saw the result before they
        judged it, and chose what to judge.
    """

    system: str
    bundle: str
    judged: int
    agreed: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Drift:
    """How the urgency of recent images compares with that of the images before.

    Parameters
    ----------
    system, bundle
        Whose scores.
    before, recent
        Numbers of images.
    median_before, median_recent
        Of the score.
    distance, p_value
        Kolmogorov-Smirnov, two-sided (SciPy); None below 20 images on either side.
    moved
        Whether ``p_value < 0.001``. It says that what comes in, or how it is taken, has changed, not that the model is
        wrong; and with many images a small change is enough.
    """

    system: str
    bundle: str
    before: int
    recent: int
    median_before: float | None
    median_recent: float | None
    distance: float | None
    p_value: float | None
    moved: bool


def volumes(session: Session, since: datetime, until: datetime) -> list[Day]:
    """Count images day by day, from the day of ``since`` to that of ``until``."""
    received = Counter(
        moment.date() for moment in session.scalars(select(Image.received_at).where(Image.received_at >= since))
    )
    ordering = select(Result).join(Job, Job.id == Result.job_id).where(Job.orders_worklist)
    first = ordering.with_only_columns(Result.image_id, func.min(Result.made_at).label("at")).group_by(Result.image_id)
    answered = first.having(func.min(Result.made_at) >= since).subquery()
    statuses = (
        ordering.with_only_columns(Result.image_id, Result.made_at, Result.status)
        .join(answered, answered.c.image_id == Result.image_id)
        .where(Result.made_at == answered.c.at)
    )
    by_image = {image: (moment.date(), status) for image, moment, status in session.execute(statuses)}
    results = Counter(by_image.values())
    unanswered = (
        select(func.max(Job.ended_at))
        .where(Job.state == "set_aside", Job.orders_worklist, Job.image_id.not_in(select(first.subquery().c.image_id)))
        .group_by(Job.image_id)
        .having(func.max(Job.ended_at) >= since)
    )
    aside = Counter(moment.date() for moment in session.scalars(unanswered) if moment is not None)
    days = [since.date() + timedelta(days=n) for n in range((until.date() - since.date()).days + 1)]
    return [Day(day, received[day], results[day, "screened"], results[day, "refused"], aside[day]) for day in days]


def turnaround(session: Session, since: datetime) -> Turnaround:
    """Measure the time to the first result of the images received since a moment, that have one."""
    seconds = [
        (made - received).total_seconds()
        for received, made in session.execute(
            select(Image.received_at, Result.made_at)
            .select_from(Result)
            .join(Job, Job.id == Result.job_id)
            .join(Image, Image.id == Result.image_id)
            .where(Image.received_at >= since, Job.round == 1, Job.orders_worklist)
        )
    ]
    if not seconds:
        return Turnaround(0, None, None, None)
    median, ninetieth = np.quantile(seconds, (0.5, 0.9)).tolist()
    return Turnaround(len(seconds), median, ninetieth, max(seconds))


def agreement(session: Session, since: datetime) -> list[Agreement]:
    """Count readers' agreement with each model's results since a moment, the last word of each reader on a result."""
    from cxrscreen.evaluate.metrics import wilson_interval  # noqa: PLC0415 - a server that starts would wait for it

    last: dict[tuple[str, str], tuple[str, str, bool]] = {}
    rows = session.execute(
        select(Feedback.author, Feedback.result_id, Result.system, Result.bundle, Feedback.agrees)
        .select_from(Feedback)
        .join(Result, Result.id == Feedback.result_id)
        .where(Feedback.given_at >= since, Feedback.agrees.is_not(None))
        .order_by(Feedback.given_at)
    )
    for author, result_id, system, bundle, agrees in rows:
        last[author, str(result_id)] = (system, bundle, bool(agrees))
    judged = Counter((system, bundle) for system, bundle, _ in last.values())
    agreed = Counter((system, bundle) for system, bundle, agrees in last.values() if agrees)
    found = []
    for (system, bundle), n in sorted(judged.items()):
        k = agreed[system, bundle]
        enough = n >= FEWEST
        low, high = wilson_interval(k, n) if enough else (None, None)
        found.append(Agreement(system, bundle, n, k, k / n if enough else None, low, high))
    return found


def drift(session: Session, since: datetime, recent: datetime) -> list[Drift]:
    """Compare the scores of images received since ``recent`` with those received from ``since`` until then."""
    scores: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    rows = session.execute(
        select(Result.system, Result.bundle, Image.received_at, Result.triage_score)
        .select_from(Result)
        .join(Image, Image.id == Result.image_id)
        .join(Job, Job.id == Result.job_id)
        .where(Image.received_at >= since, Result.triage_score.is_not(None), Job.round == 1)
    )
    for system, bundle, received, score in rows:
        sides = scores.setdefault((system, bundle), ([], []))
        sides[received >= recent].append(float(score or 0.0))
    return [_drift(system, bundle, *sides) for (system, bundle), sides in sorted(scores.items())]


def unreviewed(session: Session) -> int:
    """Count the studies that are screened, refused or failed and that no reader gave feedback on."""
    rows = session.scalars(select(Study.id).where(Study.state != "waiting", Study.reviewed_at.is_(None)))
    return len(rows.all())


def _drift(system: str, bundle: str, before: Sequence[float], recent: Sequence[float]) -> Drift:
    from scipy.stats import ks_2samp  # noqa: PLC0415 - a server that starts would wait for it

    distance = p_value = None
    if min(len(before), len(recent)) >= FEWEST:
        test = ks_2samp(before, recent)
        distance, p_value = float(test.statistic), float(test.pvalue)
    return Drift(
        system,
        bundle,
        len(before),
        len(recent),
        float(np.median(before)) if before else None,
        float(np.median(recent)) if recent else None,
        distance,
        p_value,
        moved=p_value is not None and p_value < _SOON,
    )
