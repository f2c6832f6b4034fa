"""How a page is answered: from a template, and errors as pages instead of JSON."""

import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from cxrscreen.errors import CxrscreenError
from cxrscreen.service.access import Principal, Role
from cxrscreen.service.pages.rendering import ENVIRONMENT
from cxrscreen.service.problems import NotSignedInError, ServiceError
from cxrscreen.service.security.keys import forgery_token
from cxrscreen.service.security.sessions import cookie_name


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a template.

    Parameters
    ----------
    request
        What is answered; who asks is taken from its state.
    template
        Name without its ending.
    status
        HTTP status.
    values
        For the template.

    Returns
    -------
    fastapi.responses.HTMLResponse
        The application adds the headers that keep it private and its scripts the service's own.
    """
    principal: Principal | None = getattr(request.state, "principal", None)
    text = ENVIRONMENT.get_template(f"{template}.html.j2").render(
        principal=principal,
        may_write=principal is not None and principal.role >= Role.READER,
        path=request.url.path,
        csrf=_forgery_token(request, principal),
        **values,
    )
    return HTMLResponse(text, status)


def pages_router() -> APIRouter:
    """Make a router whose routes answer with pages; they are no part of the API's description."""
    return APIRouter(route_class=_PageRoute, include_in_schema=False)


class _PageRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except NotSignedInError:
                return RedirectResponse(f"/sign-in?next={quote(_where(request))}", HTTPStatus.SEE_OTHER)
            except RequestValidationError:
                sentence = "The address of this page is not complete or not correct; open it from the worklist."
                return _error(request, HTTPStatus.NOT_FOUND, sentence)
            except CxrscreenError as error:
                status = error.status if isinstance(error, ServiceError) else HTTPStatus.UNPROCESSABLE_ENTITY
                return _error(request, status, str(error))

        return answer


def _forgery_token(request: Request, principal: Principal | None) -> str:
    if principal is None or principal.kind != "session":
        return ""
    return forgery_token(request.cookies.get(cookie_name(request.app.state.context.settings), ""))


_FRAGMENTS: Final = re.compile(r"/worklist/(rows|found)|/figures/part|/studies/[^/]+/state")
"""What scripts ask for to put into a page: by itself it lacks what the page says around it."""


def _where(request: Request) -> str:
    # What was sent cannot be sent again after signing in.
    if request.method != "GET" or _FRAGMENTS.fullmatch(request.url.path):
        return "/worklist"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _error(request: Request, status: HTTPStatus, sentence: str) -> Response:
    return page(request, "error", status=status, heading=_HEADINGS.get(status, "This did not work"), sentence=sentence)


_HEADINGS: Final = {
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.CONFLICT: "Not possible now",
}
