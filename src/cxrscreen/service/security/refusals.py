"""What somebody known was not allowed to do, written into the audit log."""

from fastapi import Request

from cxrscreen.service.access import Principal
from cxrscreen.service.store.audit import record


def note_refusal(request: Request, principal: Principal) -> None:
    """Write down that somebody asked for what their role does not allow.

    Requests of strangers are in the service's log alone: they could fill a database.
    """
    record(
        request.app.state.context,
        principal,
        "request.refused",
        "service",
        None,
        request=request.state.number,
        outcome="refused",
        method=request.method,
        route=str(getattr(request.scope.get("route"), "path", "none")),
    )
