"""The audit log, for administrators; reading it is an event of its own."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import Admin, AuditLog
from cxrscreen.service.api.moments import Moment
from cxrscreen.service.context import Here
from cxrscreen.service.security import audit_log
from cxrscreen.service.security.audit_log import Filter

router = APIRouter(prefix=f"{PREFIX}/audit-log", tags=["audit log"])


class Wanted(BaseModel):
    """Which events."""

    model_config = ConfigDict(extra="forbid")

    actor: str | None = Field(None, max_length=128)
    action: str | None = Field(None, max_length=64)
    target_kind: str | None = Field(None, max_length=32)
    target_id: str | None = Field(None, max_length=64)
    outcome: str | None = Field(None, max_length=32)
    since: Moment | None = None
    until: Moment | None = None

    def as_filter(self) -> Filter:
        """Return what the log is asked for."""
        return Filter(**{name: getattr(self, name) for name in Wanted.model_fields})


class WantedPage(Wanted):
    """Which events, and how many of them."""

    before: int | None = Field(None, ge=1, le=2**62, description="Only events with a smaller number.")
    limit: int = Field(100, ge=1, le=1000)


class Event(BaseModel):
    """Who saw or did what, when."""

    number: int
    at: datetime
    actor: str
    actor_kind: str
    action: str
    target_kind: str | None
    target_id: str | None
    outcome: str
    request: str | None = Field(description="The number under which the service's log speaks of the request.")
    details: dict[str, Any]
    previous: str
    digest: str


class Checked(BaseModel):
    """Whether the log is as it was written."""

    whole: bool
    events: int
    head: str = Field(
        description="Digest of the last event: kept elsewhere, it later shows whether the log was redone."
    )
    broken_at: int | None = Field(description="Number of the first event that does not fit.")


@router.get("")
def list_events(here: Here, _asking: Admin, log: AuditLog, wanted: Annotated[WantedPage, Query()]) -> list[Event]:
    """List events, the latest first."""
    with here.database.reading() as session:
        found = audit_log.events(session, wanted.as_filter(), before=wanted.before, at_most=wanted.limit)
        listed = [Event.model_validate(event, from_attributes=True) for event in found]
    log("audit_log.seen", "audit_log", None)
    return listed


@router.get("/export", response_class=StreamingResponse)
def export(here: Here, _asking: Admin, log: AuditLog, wanted: Annotated[Wanted, Query()]) -> StreamingResponse:
    """Give events as lines of JSON, the earliest first."""
    log("audit_log.exported", "audit_log", None)

    def lines() -> Iterator[str]:
        with here.database.reading() as session:
            yield from audit_log.exported(session, wanted.as_filter())

    return StreamingResponse(
        lines(),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="cxrscreen-audit-log.jsonl"'},
    )


@router.get("/check")
def check(here: Here, _asking: Admin, log: AuditLog) -> Checked:
    """Go through the chain of the whole log."""
    with here.database.reading() as session:
        found, _ = audit_log.check(session)
    log("audit_log.checked", "audit_log", None, whole=found.broken_at is None)
    return Checked(whole=found.broken_at is None, events=found.events, head=found.head, broken_at=found.broken_at)
