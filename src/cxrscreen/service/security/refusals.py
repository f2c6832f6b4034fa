"""What somebody known was not allowed to do, written into the audit log."""

from typing import Literal

from fastapi import Request

from cxrscreen.service.access import Principal
from cxrscreen.service.store.audit import record


def note_refusal(
    request: Request, principal: Principal, why: Literal["role", "origin", "forgery token"] = "role"
) -> None:
    """Write down that somebody asked for what their role does not allow, or that another page asked in their name.

    Requests of strangers are in the service's log alone: they could fill a database.

    Parameters
    ----------
    request
        What is refused.
    principal
        Whose credentials came with it.
    why
        ``"origin"``: another site's page asked; ``"forgery token"``: the token of the service's own pages was missing.
    """
    record(
        request.app.state.context,
        principal,
        "request.refused",
        "service",
        None,
        request=request.state.number,
        outcome="refused",
        why=why,
        method=request.method,
        route=str(getattr(request.scope.get("route"), "path", "none")),
    )
