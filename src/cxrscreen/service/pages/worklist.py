"""The worklist: studies in the order in which to read them, with filters, a search, and rows that stay up to date."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from cxrscreen.service.api.asking import AuditLog, Viewer
from cxrscreen.service.context import Context, Here
from cxrscreen.service.pages.routing import page, pages_router
from cxrscreen.service.store.models import Image, Result, Study, StudyState
from cxrscreen.service.store.results import record_of
from cxrscreen.service.store.studies import Order, Search, find_studies
from cxrscreen.systems.contract import Finding

router = pages_router()

PAGE: Final = 50
"""Studies on a page of the list."""
_FOUND_AT_MOST: Final = 200


class Wanted(BaseModel):
    """Which part of the list to show; what names a person is sent in a body and never stands in an address."""

    model_config = ConfigDict(extra="ignore")

    show: Literal["unread", "read", "all"] = "unread"
    state: StudyState | Literal[""] = ""
    finding: Finding | Literal[""] = ""
    days: int = Field(0, ge=0, le=3650)
    order: Order = "urgency"
    page: int = Field(1, ge=1, le=20_000)

    def address(self, **changed: Any) -> str:
        """Return the address of the list with some fields changed."""
        values = {**self.model_dump(), "page": 1, **changed}
        told = {name: value for name, value in values.items() if value != Wanted.model_fields[name].default}
        return f"/worklist?{urlencode(told)}" if told else "/worklist"


@dataclass(frozen=True)
class Row:
    """A study in the list.

    Parameters
    ----------
    study
        With its patient.
    action
        Suggested order of work by the system that orders the list, None without a result.
    quality
        ``"limited"`` where one of its results says so.
    others
        System and finding of each further system's latest result.
    names
        The senders' names of its files.
    """

    study: Study
    action: str | None
    quality: str | None
    others: tuple[tuple[str, str | None], ...]
    names: tuple[str, ...]


@router.get("/")
def start(_asking: Viewer) -> RedirectResponse:
    """Lead to the worklist."""
    return RedirectResponse("/worklist", 303)


@router.get("/worklist")
def worklist(
    request: Request, here: Here, _asking: Viewer, log: AuditLog, wanted: Annotated[Wanted, Query()]
) -> HTMLResponse:
    """Show the list."""
    log("study.listed", "service", None, sparsely=True)
    return page(request, "worklist", **_part(here, wanted))


@router.get("/worklist/rows")
def rows(
    request: Request, here: Here, _asking: Viewer, log: AuditLog, wanted: Annotated[Wanted, Query()]
) -> HTMLResponse:
    """Give the part of the page that changes, for the script that keeps it new."""
    log("study.listed", "service", None, sparsely=True)
    return page(request, "worklist_part", **_part(here, wanted))


@router.post("/worklist/found")
def search(
    request: Request,
    here: Here,
    _asking: Viewer,
    log: AuditLog,
    whom: Annotated[str, Form(min_length=1, max_length=128)],
) -> HTMLResponse:
    """Give the script the studies with an accession number, of a person's number, or with a part of a name."""
    sought = whom.strip()
    with here.database.reading() as session:
        found, total = find_studies(session, Search(accession_number=sought[:64]), "newest", limit=_FOUND_AT_MOST)
        if not found:
            found, total = find_studies(session, Search(patient=sought), "newest", limit=_FOUND_AT_MOST)
        made = rows_of(session, found, here.settings.used_systems[0])
    log("study.searched", "service", None, found=total)
    return page(request, "found", rows=made, total=total)


def rows_of(session: Session, studies: Sequence[Study], first: str) -> list[Row]:
    """Put together what the list shows of some studies.

    Parameters
    ----------
    session
        One that reads.
    studies
        In the order to show.
    first
        The system that orders the list.
    """
    ids = [study.id for study in studies]
    latest: dict[str, dict[tuple[str, str], Result]] = {study_id: {} for study_id in ids}
    query = select(Result, Image.study_id).join(Image).where(Image.study_id.in_(ids)).order_by(Result.made_at)
    for result, study_id in session.execute(query):
        latest[study_id][result.system, result.image_id] = result
    names: dict[str, list[str]] = {study_id: [] for study_id in ids}
    named = select(Image.study_id, Image.name).where(Image.study_id.in_(ids)).order_by(Image.received_at)
    for study_id, name in session.execute(named):
        names[study_id].append(name or "")
    return [_row(study, list(latest[study.id].values()), tuple(names[study.id]), first) for study in studies]


def _row(study: Study, results: Sequence[Result], names: tuple[str, ...], first: str) -> Row:
    own = [result for result in results if result.system == first]
    leading = max(own, key=lambda result: -1.0 if result.triage_score is None else result.triage_score, default=None)
    triage = None if leading is None else record_of(leading).triage
    limited = any(result.quality == "limited" for result in results)
    others = {result.system: result.finding for result in results if result.system != first}
    return Row(
        study,
        None if triage is None else triage.action,
        "limited" if limited else None if leading is None else leading.quality,
        tuple(sorted(others.items())),
        names,
    )


def _part(here: Context, wanted: Wanted) -> dict[str, Any]:
    search = Search(
        states=() if wanted.state == "" else (wanted.state,),
        findings=() if wanted.finding == "" else (wanted.finding,),
        since=here.now() - timedelta(days=wanted.days) if wanted.days else None,
        reviewed={"unread": False, "read": True, "all": None}[wanted.show],
    )
    with here.database.reading() as session:
        found, total = find_studies(session, search, wanted.order, limit=PAGE, offset=(wanted.page - 1) * PAGE)
        made = rows_of(session, found, here.settings.used_systems[0])
        counts = _counts(session)
    return {
        "wanted": wanted,
        "rows": made,
        "total": total,
        "first": (wanted.page - 1) * PAGE + 1,
        "pages": max(1, -(-total // PAGE)),
        "counts": counts,
    }


def _counts(session: Session) -> dict[str, int]:
    """Count the studies nobody has read, by state; those screened in part apart from those that are so wholly."""
    in_part = (Study.state == "screened") & (Study.unscreened > 0)
    state = case((in_part, "in_part"), else_=Study.state).label("state")
    query = select(state).where(Study.reviewed_at.is_(None)).subquery()
    found: dict[str, int] = dict(session.execute(select(query.c.state, func.count()).group_by(query.c.state)).all())
    return {state: found.get(state, 0) for state in ("waiting", "screened", "in_part", "refused", "failed")}
