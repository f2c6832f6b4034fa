"""Who asks, as an argument of a route, and the audit log's entry of what they do."""

from collections.abc import Callable
from threading import Lock
from typing import Annotated, Any

from cachetools import TTLCache
from fastapi import Depends, Path, Request

from cxrscreen.service.access import Principal, Role, require
from cxrscreen.service.store import audit
from cxrscreen.service.store.audit import Target

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Reader = Annotated[Principal, Depends(require(Role.READER))]
Admin = Annotated[Principal, Depends(require(Role.ADMIN))]

Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="An identifier that the service gave.")]

Logged = Callable[..., None]


def _log(request: Request) -> Logged:
    def entry(
        action: str, target_kind: Target, target_id: str | None, *, sparsely: bool = False, **details: Any
    ) -> None:
        asking: Principal = request.state.principal
        if sparsely and not _first_for_a_while((asking.kind, asking.name, action, str(target_id))):
            return
        audit.record(
            request.app.state.context,
            asking,
            action,
            target_kind,
            target_id,
            request=request.state.number,
            **details,
        )

    return entry


AuditLog = Annotated[Logged, Depends(_log)]
"""Writes an entry: ``log("study.seen", "study", study_id)``; the route's requirement must stand before it.

With ``sparsely=True`` the same entry of the same person is written once in five minutes by each process: for pictures,
which a viewer asks for by the dozen.
"""

_WRITTEN: TTLCache[tuple[str, ...], bool] = TTLCache(maxsize=10_000, ttl=300)
_WRITTEN_LOCK = Lock()


def _first_for_a_while(key: tuple[str, ...]) -> bool:
    with _WRITTEN_LOCK:
        known = key in _WRITTEN
        if not known:
            _WRITTEN[key] = True
        return not known
