"""What those who run the service ask: is it alive, is it ready, how much does it do (Prometheus)."""

from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field

from cxrscreen import __version__
from cxrscreen.service.access import OPEN_TO_ALL, Principal, Role, require
from cxrscreen.service.context import Context, Here
from cxrscreen.service.jobs import queue_figures

router = APIRouter(tags=["operations"])

_SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Health(BaseModel):
    """That the process answers."""

    status: Literal["alive"] = "alive"
    version: str = __version__


class Readiness(BaseModel):
    """Whether images can be accepted."""

    ready: bool
    database: bool = Field(description="Whether the database answers.")
    files: bool = Field(description="Whether the folder of files can be written.")


@router.get("/health", dependencies=[Depends(OPEN_TO_ALL)])
def health() -> Health:
    """Tell that the process answers; it asks nothing else, so that a slow database does not restart the server."""
    return Health()


@router.get("/ready", dependencies=[Depends(OPEN_TO_ALL)], responses={503: {"model": Readiness}})
def ready(here: Here, response: Response) -> Readiness:
    """Tell whether images can be accepted; 503 where they cannot."""
    database, files = here.database.ready(), here.files.writable()
    if not (database and files):
        response.status_code = 503
    return Readiness(ready=database and files, database=database, files=files)


@router.get("/metrics", response_class=Response)
def metrics(request: Request, _principal: Annotated[Principal, Depends(require(Role.VIEWER))]) -> Response:
    """Give the figures in the text format of Prometheus; none is about a person."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


class Metrics:
    """The figures of one process, and those of the queue, which all processes share through the database.

    Parameters
    ----------
    context
        Where the queue is asked for, at each scrape.
    """

    def __init__(self, context: Context) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Queue(context))
        self._requests = Histogram(
            "cxrscreen_request_seconds",
            "Time to answer, by method, route and status.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Render all figures."""
        return generate_latest(self._registry)


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class _Queue(Collector):
    def __init__(self, context: Context) -> None:
        self._context = context

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        with self._context.database.reading() as session:
            figures = queue_figures(session, self._context.now())
        jobs = GaugeMetricFamily("cxrscreen_jobs", "Jobs in the database, by state.", labels=("state",))
        for state, count in figures.jobs.items():
            jobs.add_metric((state,), count)
        yield jobs
        yield GaugeMetricFamily(
            "cxrscreen_oldest_waiting_seconds",
            "Age of the oldest job that waits; 0 for none.",
            value=figures.oldest_waiting_seconds,
        )
        results = GaugeMetricFamily(
            "cxrscreen_results", "Results in the database, by system, status and finding.", labels=_RESULT_LABELS
        )
        for labels, count in figures.results.items():
            results.add_metric(labels, count)
        yield results


_RESULT_LABELS = ("system", "status", "finding")
