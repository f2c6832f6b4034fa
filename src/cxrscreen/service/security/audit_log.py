"""Reading the audit log, checking its chain, and writing it out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cxrscreen.service.store.chain import BEGINNING, LINKED, ChainCheck, check_chain
from cxrscreen.service.store.people import AuditEvent

_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Filter:
    """Which events; None: whatever it is.

    Parameters
    ----------
    actor, action, target_kind, target_id, outcome
        Exactly so.
    since, until
        From the first, before the second.
    """

    actor: str | None = None
    action: str | None = None
    target_kind: str | None = None
    target_id: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def events(session: Session, wanted: Filter, *, before: int | None, at_most: int) -> list[AuditEvent]:
    """List events, the latest first.

    Parameters
    ----------
    session
        One that reads.
    wanted
        Which.
    before
        Only those with a smaller number, for the next page.
    at_most
        How many.
    """
    chosen = _chosen(wanted).order_by(AuditEvent.number.desc()).limit(at_most)
    if before is not None:
        chosen = chosen.where(AuditEvent.number < before)
    return list(session.scalars(chosen))


def exported(session: Session, wanted: Filter) -> Iterator[str]:
    """Give events as lines of JSON, the earliest first; each with its digests, so that the chain can be checked there.

    A part chosen by a filter cannot be checked by itself: events between those chosen are missing from the chain.
    """
    for event in session.scalars(_chosen(wanted).order_by(AuditEvent.number)).yield_per(_AT_ONCE):
        columns = _columns(event)
        at = columns["at"].astimezone(UTC).isoformat(timespec="microseconds")
        yield json.dumps(columns | {"at": at}, ensure_ascii=False) + "\n"
        session.expunge(event)


def check(session: Session, kept: tuple[int, str] | None = None) -> tuple[ChainCheck, bool]:
    """Go through the whole log.

    Parameters
    ----------
    session
        One that reads.
    kept
        Number and digest of an event, written down earlier somewhere else: shows whether the log was computed anew or
        cut off behind that event.

    Returns
    -------
    check, holds
        What was found, and whether the event that was kept is there as it was (True where none was given).
    """
    found = kept is None or kept == (0, BEGINNING)

    def read() -> Iterator[Mapping[str, Any]]:
        nonlocal found
        for event in session.scalars(select(AuditEvent).order_by(AuditEvent.number)).yield_per(_AT_ONCE):
            found = found or (event.number, event.digest) == kept
            yield _columns(event)
            session.expunge(event)

    return check_chain(read()), found


def _columns(event: AuditEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in (*LINKED, "previous", "digest")}


def _chosen(wanted: Filter) -> Select[AuditEvent]:
    chosen = select(AuditEvent)
    for name in ("actor", "action", "target_kind", "target_id", "outcome"):
        value = getattr(wanted, name)
        if value is not None:
            chosen = chosen.where(getattr(AuditEvent, name) == value)
    if wanted.since is not None:
        chosen = chosen.where(AuditEvent.at >= wanted.since)
    if wanted.until is not None:
        chosen = chosen.where(AuditEvent.at < wanted.until)
    return chosen
