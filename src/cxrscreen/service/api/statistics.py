"""Live figures of the service."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from cxrscreen import RESEARCH_USE
from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import Viewer
from cxrscreen.service.context import Here
from cxrscreen.service.jobs import queue_figures
from cxrscreen.service.store import statistics as figures

router = APIRouter(prefix=f"{PREFIX}/statistics", tags=["statistics"])


class Statistics(BaseModel):
    """Figures of a number of days, up to now."""

    days: int
    volumes: list[figures.Day]
    jobs: dict[str, int] = Field(description="Jobs in the database, by state.")
    oldest_waiting_seconds: float
    unreviewed_studies: int
    turnaround: figures.Turnaround
    agreement: list[figures.Agreement]
    drift: list[figures.Drift] = Field(description="The last quarter of the days against those before.")
    reading: str = (
        "Agreement is no accuracy: readers saw the result first and chose what to judge. Drift says that the images or "
        "the people changed, not that the answers are wrong; neither figure replaces an evaluation on labelled cases."
    )
    research_use: str = RESEARCH_USE


@router.get("")
def statistics(
    here: Here,
    _asking: Viewer,
    days: Annotated[int, Query(ge=1, le=3650, description="How far back.")] = 28,
) -> Statistics:
    """Give volumes, turnaround, agreement of readers and drift of scores."""
    now = here.now()
    since = now - timedelta(days=days)
    with here.database.reading() as session:
        queue = queue_figures(session, now)
        return Statistics(
            days=days,
            volumes=figures.volumes(session, since, now),
            jobs=dict(queue.jobs),
            oldest_waiting_seconds=queue.oldest_waiting_seconds,
            unreviewed_studies=figures.unreviewed(session),
            turnaround=figures.turnaround(session, since),
            agreement=figures.agreement(session, since),
            drift=figures.drift(session, since, now - timedelta(days=days) / 4),
        )
