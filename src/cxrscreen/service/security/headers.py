"""What browsers are told not to do, and bounds on what a request holds before its body."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxrscreen.service.problems import problem

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Scripts and styles are files of the service; nothing comes from, goes to or is framed by anybody else."""
_ALWAYS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # What is on a screen is a patient's; no cache keeps it, unless a route says that nobody's data is in its answer.
    "Cache-Control": "no-store",
}
_ONE_YEAR: Final = 31_536_000
_LARGEST_HEADERS: Final = 16 * 2**10
_LONGEST_TARGET: Final = 4 * 2**10


class SecurityHeaders:
    """Adds the headers to every answer, errors too; one that an answer has already stays.

    Parameters
    ----------
    app
        What answers.
    behind_tls
        Whether browsers may be told to come by TLS alone from now on.
    """

    def __init__(self, app: ASGIApp, *, behind_tls: bool) -> None:
        self._app = app
        self._headers = dict(_ALWAYS)
        if behind_tls:
            self._headers["Strict-Transport-Security"] = f"max-age={_ONE_YEAR}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, completed)


class HeaderLimit:
    """Refuses a request whose address or headers are longer than any that the service needs.

    Parameters
    ----------
    app
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 414 or 431."""
        if scope["type"] == "http":
            target = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
            if target > _LONGEST_TARGET:
                await problem(Request(scope), 414, "The address is too long; ask for less at once.")(
                    scope, receive, send
                )
                return
            if sum(len(name) + len(value) for name, value in scope["headers"]) > _LARGEST_HEADERS:
                await problem(Request(scope), 431, "The headers are too long; delete the site's cookies.")(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)
