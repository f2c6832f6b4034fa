"""Who asks, as an argument of a route, and the audit log's entry of what they do."""

from collections.abc import Callable
from typing import Annotated, Any

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
    def entry(action: str, target_kind: Target, target_id: str | None, **details: Any) -> None:
        audit.record(
            request.app.state.context,
            request.state.principal,
            action,
            target_kind,
            target_id,
            request=request.state.number,
            **details,
        )

    return entry


AuditLog = Annotated[Logged, Depends(_log)]
"""Writes an entry: ``log("study.seen", "study", study_id)``; the route's requirement must stand before it."""
