"""The chain through the audit log: each event holds the digest of the one before it.

Whoever changes, removes or inserts an event breaks the chain from there on, unless they compute it anew to its end; the
digest of the last event, kept elsewhere, shows that too (and whether events were cut off at the end).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

BEGINNING: Final = "0" * 64
"""What stands for the digest before the first event."""
LINKED: Final = (
    "number",
    "at",
    "actor",
    "actor_kind",
    "action",
    "target_kind",
    "target_id",
    "outcome",
    "request",
    "details",
)
"""The columns that a digest covers, besides the digest before it."""
LOCK: Final = 4_215_926_782
"""Advisory lock of whoever adds an event on PostgreSQL; SQLite has one writer at a time anyway."""


@dataclass(frozen=True)
class ChainCheck:
    """What going through the chain found.

    Parameters
    ----------
    events
        Number of events that were read.
    head
        Digest of the last one; :data:`BEGINNING` for an empty log.
    broken_at
        Number of the first event that is not as it was written or does not follow the one before it; None: none.
    """

    events: int
    head: str
    broken_at: int | None


def digest_of(event: Mapping[str, Any], previous: str) -> str:
    """Return the digest of an event.

    Parameters
    ----------
    event
        The columns of :data:`LINKED`; ``at`` with a zone, ``details`` as JSON knows it.
    previous
        The digest of the event before, hexadecimal.

    Returns
    -------
    str
        SHA-256, hexadecimal, of the columns as JSON with sorted keys.
    """
    at: datetime = event["at"]
    columns = {name: event[name] for name in LINKED} | {"at": at.astimezone(UTC).isoformat(timespec="microseconds")}
    text = json.dumps({**columns, "previous": previous}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_chain(events: Iterable[Mapping[str, Any]]) -> ChainCheck:
    """Go through a log, all events in order.

    Parameters
    ----------
    events
        Each with the columns of :data:`LINKED`, ``previous`` and ``digest``.
    """
    read, head = 0, BEGINNING
    broken_at: int | None = None
    for event in events:
        read += 1
        follows = event["number"] == read and event["previous"] == head
        if broken_at is None and not (follows and event["digest"] == digest_of(event, head)):
            broken_at = event["number"]
        head = event["digest"]
    return ChainCheck(read, head, broken_at)
