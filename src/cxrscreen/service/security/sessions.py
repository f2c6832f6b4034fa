"""Sessions: browsers that are signed in. The cookie is a random key; what it stands for is in the database alone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fastapi import Response
from sqlalchemy import delete
from sqlalchemy.orm import Session

from cxrscreen.service.access import Role
from cxrscreen.service.context import Context
from cxrscreen.service.security.keys import digest_of, draw_key, forgery_token
from cxrscreen.service.settings import Settings
from cxrscreen.service.store import people
from cxrscreen.service.store.people import User

_NOTED_EVERY: Final = timedelta(minutes=1)
"""How exactly it is known when a session was last used."""


@dataclass(frozen=True)
class Opened:
    """A session as its browser gets it.

    Parameters
    ----------
    key
        The cookie's value.
    forgery_token
        What the service's own pages send along with every change.
    expires_at
        When it ends at the latest.
    """

    key: str
    forgery_token: str
    expires_at: datetime


@dataclass(frozen=True)
class SignedIn:
    """Whose session it is.

    Parameters
    ----------
    account_id, name, display_name, role
        Of the account, as they are now.
    expires_at
        When the session ends at the latest.
    """

    account_id: str
    name: str
    display_name: str | None
    role: Role
    expires_at: datetime


def open_session(session: Session, user: User, now: datetime, settings: Settings, *, instead_of: str | None) -> Opened:
    """Open a session; each sign-in draws another key, whatever cookie the browser came with.

    Parameters
    ----------
    session
        One that writes.
    user
        Whose it is.
    now
        The moment.
    settings
        How long it lasts.
    instead_of
        Key of the session that the browser had, which ends.
    """
    if instead_of is not None:
        end_session(session, instead_of)
    session.execute(delete(people.Session).where(people.Session.expires_at < now))
    key = draw_key()
    expires_at = now + timedelta(hours=settings.session_hours)
    session.add(
        people.Session(digest=digest_of(key), user_id=user.id, created_at=now, last_seen_at=now, expires_at=expires_at)
    )
    session.flush()
    return Opened(key, forgery_token(key), expires_at)


def signed_in(context: Context, key: str, *, is_use: bool = True) -> SignedIn | None:
    """Tell whose session a key is; None where it ended, was not used for too long, or its account is shut.

    Parameters
    ----------
    context
        The store and the limits.
    key
        The cookie's value.
    is_use
        Whether a person asks; a page that keeps itself new is no sign that somebody sits in front of it.
    """
    now, digest = context.now(), digest_of(key)
    with context.database.reading() as session:
        found = session.get(people.Session, digest)
        if found is None or found.user.disabled_at is not None:
            return None
        idle = now - found.last_seen_at
        if now >= found.expires_at or idle > timedelta(minutes=context.settings.session_idle_minutes):
            return None
        user = found.user
        whose = SignedIn(user.id, user.name, user.display_name, Role[user.role.upper()], found.expires_at)
    if is_use and idle > _NOTED_EVERY:
        with context.database.writing() as session:
            again = session.get(people.Session, digest)
            if again is not None:
                again.last_seen_at = now
    return whose


def end_session(session: Session, key: str) -> None:
    """End a session; one that is not there is let be."""
    session.execute(delete(people.Session).where(people.Session.digest == digest_of(key)))


def cookie_name(settings: Settings) -> str:
    """Return the cookie's name; behind TLS one that browsers bind to this host and to TLS."""
    return "__Host-cxrscreen" if settings.behind_tls else "cxrscreen"


def set_cookie(response: Response, settings: Settings, opened: Opened) -> None:
    """Give a browser its session.

    ``SameSite=Lax`` and not ``Strict``, so that a link to a study in another system's page, and the way back from the
    identity provider, find the session; changes need the token against forged requests besides.
    """
    response.set_cookie(
        cookie_name(settings),
        opened.key,
        # Counted by the browser from now, whatever its clock says.
        max_age=int(settings.session_hours * 3600),
        path="/",
        httponly=True,
        secure=settings.behind_tls,
        samesite="lax",
    )


def clear_cookie(response: Response, settings: Settings) -> None:
    """Take a browser's session away."""
    response.delete_cookie(cookie_name(settings), path="/", httponly=True, secure=settings.behind_tls, samesite="lax")
