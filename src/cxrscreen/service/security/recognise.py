"""The ways to be recognised: a token that an account made, and the cookie of a session."""

import hmac
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from cxrscreen.service.access import Authenticator, Principal
from cxrscreen.service.context import Context
from cxrscreen.service.problems import ForbiddenError
from cxrscreen.service.security.keys import TOKEN_PREFIX, forgery_token
from cxrscreen.service.security.refusals import note_refusal
from cxrscreen.service.security.sessions import cookie_name, signed_in
from cxrscreen.service.security.tokens import principal_of_token
from cxrscreen.service.settings import Settings

FORGERY_HEADER: Final = "X-CSRF-Token"
POLL_HEADER: Final = "X-Poll"
"""Sent by the service's own pages with what they ask by themselves, again and again; it does not keep a session."""
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


def by_token(context: Context) -> Authenticator:
    """Make the authenticator of tokens: ``Authorization: Bearer cxs_...``."""

    def recognise(request: Request) -> Principal | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key.startswith(TOKEN_PREFIX):
            return None
        return principal_of_token(context, key)

    return recognise


def by_cookie(context: Context) -> Authenticator:
    """Make the authenticator of sessions.

    A browser sends the cookie along whichever page asked for it. What changes something must therefore come from a page
    of the service itself: its origin must be the service's, where the browser tells, and it must send the token that
    only such a page can read.
    """

    def recognise(request: Request) -> Principal | None:
        key = request.cookies.get(cookie_name(context.settings))
        if key is None:
            return None
        whose = signed_in(context, key, is_use=POLL_HEADER not in request.headers)
        if whose is None:
            return None
        principal = Principal(whose.name, whose.role, "session", whose.account_id)
        if request.method not in _SAFE:
            try:
                check_origin(request, context.settings)
            except ForbiddenError:
                note_refusal(request, principal, "origin")
                raise
            given = request.headers.get(FORGERY_HEADER, "")
            if not hmac.compare_digest(given.encode(), forgery_token(key).encode()):
                note_refusal(request, principal, "forgery token")
                raise ForbiddenError(f"The request lacks the session's token ({FORGERY_HEADER}); load the page again.")
        return principal

    return recognise


def check_origin(request: Request, settings: Settings) -> None:
    """See that a change is asked for by a page of the service, or by a program that is no browser.

    Raises
    ------
    ForbiddenError
        If the browser says that another page asks.
    """
    fetched_from = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.lower() not in _own_origins(request, settings)
    if fetched_from != "same-origin" or foreign:
        raise ForbiddenError("The request comes from another site's page; use the service's own pages.")


def _own_origins(request: Request, settings: Settings) -> set[str]:
    if settings.public_url is not None:
        parts = urlsplit(settings.public_url)
        return {f"{parts.scheme}://{parts.netloc}".lower()}
    return {f"{request.url.scheme}://{request.url.netloc}".lower()}
