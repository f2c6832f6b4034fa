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

        def write() -> None:
            audit.record(
                request.app.state.context,
                asking,
                action,
                target_kind,
                target_id,
                request=request.state.number,
                **details,
            )

        if sparsely:
            _once_in_a_while((asking.kind, asking.name, action, str(target_id)), write)
        else:
            write()

    return entry


AuditLog = Annotated[Logged, Depends(_log)]
"""Writes an entry: ``log("study.seen", "study", study_id)``; the route's requirement must stand before it.

With ``sparsely=True`` the same entry of the same person is written once in five minutes by each process: for pictures,
which a viewer asks for by the dozen.
"""

_WRITTEN: TTLCache[tuple[str, ...], bool] = TTLCache(maxsize=10_000, ttl=300)
_WRITTEN_LOCK = Lock()
_WRITING_LOCK = Lock()


def _once_in_a_while(key: tuple[str, ...], write: Callable[[], None]) -> None:
    if _is_written(key):
        return
    # Who asks for the next picture meanwhile waits: nothing is shown before its entry is written.
    with _WRITING_LOCK:
        if _is_written(key):
            return
        write()
        with _WRITTEN_LOCK:
            _WRITTEN[key] = True


def _is_written(key: tuple[str, ...]) -> bool:
    with _WRITTEN_LOCK:
        return key in _WRITTEN
