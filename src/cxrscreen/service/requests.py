"""What happens around every request: a number, a line in the log, a measurement, a bound on its size."""

import time
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxrscreen.service.problems import problem, unforeseen
from cxrscreen.service.store.columns import new_id

_LOG = structlog.get_logger(__name__)


class RequestRecord:
    """Numbers each request, and logs and measures it by its route's template, never by its address or content.

    What nobody foresaw ends here too: it is logged without its text and answered with 500.

    Parameters
    ----------
    app
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number = new_id()
        scope.setdefault("state", {})["number"] = number
        start = time.perf_counter()
        status = 0

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = [*message["headers"], (b"x-request-id", number.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request=number):
            try:
                await self._app(scope, receive, numbered)
            except Exception as error:
                answer = unforeseen(Request(scope), error)
                if not status:
                    await answer(scope, receive, numbered)
            finally:
                seconds = time.perf_counter() - start
                route = _template(scope)
                scope["app"].state.metrics.observe(scope["method"], route, status, seconds)
                quiet = status < 400 and route in ("/health", "/ready", "/metrics")
                (_LOG.debug if quiet else _LOG.info)(
                    "request", method=scope["method"], route=route, status=status, seconds=round(seconds, 4)
                )


class SizeLimit:
    """Refuses a request whose body is larger than allowed, as soon as that is known.

    Parameters
    ----------
    app
        What answers.
    largest
        Bytes.
    """

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._largest:
            await self._refuse(scope, receive, send)
            return
        received = 0
        begun = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._largest:
                raise _TooLong
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _TooLong:
            if not begun:
                await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"The request is larger than {self._largest / 2**20:g} MiB; send fewer files at once."
        await problem(Request(scope), 413, detail)(scope, receive, send)


class _TooLong(BaseException):
    pass


def _template(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", "none"))
