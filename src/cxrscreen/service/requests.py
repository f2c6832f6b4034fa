"""What happens around every request: a number, a line in the log, a measurement, a bound on its size."""

import time
from collections.abc import Collection
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxrscreen.service.problems import problem, unforeseen
from cxrscreen.service.store.columns import new_id

_LOG = structlog.get_logger(__name__)
_FORM_BYTES: Final = 2**20
_CLIENT_LEFT: Final = 499
"""What proxies write where a client left before its request was whole; it is never sent."""


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
            except ClientDisconnect:
                # Nobody is there to be answered.
                status = status or _CLIENT_LEFT
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
        Bytes, where images come in.
    images_at
        The paths of those routes, and of what is below them; elsewhere a body is a small form, which is held in memory
        before anybody looks at who sent it.
    """

    def __init__(self, app: ASGIApp, largest: int, images_at: Collection[str]) -> None:
        self._app = app
        self._largest_image = largest
        self._images_at = tuple(f"{path}/" for path in images_at)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        image = f"{scope['path']}/".startswith(self._images_at)
        largest = self._largest_image if image else min(_FORM_BYTES, self._largest_image)
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > largest:
            await _refuse(scope, receive, send, largest)
            return
        received = 0
        begun = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > largest:
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
                await _refuse(scope, receive, send, largest)


async def _refuse(scope: Scope, receive: Receive, send: Send, largest: int) -> None:
    detail = f"The request is larger than {largest / 2**20:g} MiB; send fewer files at once."
    await problem(Request(scope), 413, detail)(scope, receive, send)


class _TooLong(BaseException):
    pass


def _template(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", "none"))
