"""What somebody known was not allowed to do, written into the audit log."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from cxrscreen.service.access import Principal
from cxrscreen.service.problems import ForbiddenError, problem
from cxrscreen.service.store.audit import record


def note_refusals(app: FastAPI) -> None:
    """Make the application write down what it refuses to somebody it knows.

    Requests of strangers are in the service's log alone: they could fill a database.
    """
    app.add_exception_handler(ForbiddenError, _refused)


def _refused(request: Request, error: Exception) -> JSONResponse:
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is not None:
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
    return problem(request, ForbiddenError.status, str(error))
