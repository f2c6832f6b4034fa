"""Live figures: volumes, turnaround, agreement with readers, drift of scores; drawings, and the numbers in tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from cxrscreen.service.api.asking import Viewer
from cxrscreen.service.context import Context, Here
from cxrscreen.service.jobs import queue_figures
from cxrscreen.service.pages.answers import title_of
from cxrscreen.service.pages.charts import Chart, histogram, score_chart, volume_chart
from cxrscreen.service.pages.routing import page, pages_router
from cxrscreen.service.store import statistics
from cxrscreen.service.store.models import Feedback, Image, Job, Result, Study
from cxrscreen.service.store.statistics import Drift

router = pages_router()

Days = Annotated[int, Query(ge=4, le=3650)]


@dataclass(frozen=True)
class ScoreDrift:
    """A model's drift with its drawing and the shares it shows."""

    title: str
    drift: Drift
    chart: Chart
    before: tuple[float, ...]
    recent: tuple[float, ...]


@router.get("/figures")
def figures(request: Request, here: Here, _asking: Viewer, days: Days = 28) -> HTMLResponse:
    """Show the figures of a number of days, up to now."""
    return page(request, "figures", **_part(here, days))


@router.get("/figures/part")
def part(request: Request, here: Here, _asking: Viewer, days: Days = 28) -> HTMLResponse:
    """Give the part of the page that changes, for the script that keeps it new."""
    return page(request, "figures_part", **_part(here, days))


def calls_and_tests(session: Session, since: datetime) -> dict[tuple[str, str], int]:
    """Count studies by the finding called and the last RT-PCR result that a reader named, since a moment."""
    rows = session.execute(
        select(Study.id, Study.finding, Feedback.rt_pcr_result)
        .join(Feedback, Feedback.study_id == Study.id)
        .where(Study.received_at >= since, Study.finding.is_not(None), Feedback.rt_pcr_result.is_not(None))
        .order_by(Feedback.given_at)
    )
    last = {study_id: (str(finding), str(result)) for study_id, finding, result in rows}
    counts: dict[tuple[str, str], int] = {}
    for pair in last.values():
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def _part(here: Context, days: int) -> dict[str, Any]:
    now = here.now()
    since, recent = now - timedelta(days=days), now - timedelta(days=days) / 4
    with here.database.reading() as session:
        volumes = statistics.volumes(session, since, now)
        queue = queue_figures(session, now)
        return {
            "days": days,
            "now": now,
            "recent_days": days / 4,
            "volumes": volumes,
            "volume_chart": volume_chart(volumes),
            "queue": queue,
            "unreviewed": statistics.unreviewed(session),
            "turnaround": statistics.turnaround(session, since),
            "agreement": statistics.agreement(session, since),
            "fewest": statistics.FEWEST,
            "drifts": _drifts(session, statistics.drift(session, since, recent), since, recent),
            "calls": calls_and_tests(session, since),
            "title_of": title_of,
        }


def _drifts(session: Session, drifts: Sequence[Drift], since: datetime, recent: datetime) -> list[ScoreDrift]:
    query = (
        select(Result.system, Result.bundle, Image.received_at, Result.triage_score)
        .join(Image, Image.id == Result.image_id)
        .join(Job, Job.id == Result.job_id)
        .where(Image.received_at >= since, Result.triage_score.is_not(None), Job.round == 1)
    )
    scores: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for system, bundle, received, score in session.execute(query):
        scores.setdefault((system, bundle), ([], []))[received >= recent].append(float(score or 0.0))
    found = []
    for drift in drifts:
        before, new = (histogram(side) for side in scores.get((drift.system, drift.bundle), ([], [])))
        found.append(ScoreDrift(title_of(drift.system), drift, score_chart(before, new), before, new))
    return found
