"""Signing in by an identity provider: OpenID Connect's authorization code flow with PKCE, state and nonce."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from fastapi import Response
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cxrscreen.service.access import Principal, Role
from cxrscreen.service.context import Context
from cxrscreen.service.problems import ForbiddenError, NotSignedInError, ServiceError
from cxrscreen.service.security.accounts import AccountError, add_account, end_sessions, role_named
from cxrscreen.service.security.identity_provider import Identity, Provider
from cxrscreen.service.security.keys import digest_of, draw_key
from cxrscreen.service.security.sessions import open_session
from cxrscreen.service.security.sign_in import NOBODY, Arrival
from cxrscreen.service.security.tokens import revoke_tokens
from cxrscreen.service.settings import IdentityProvider, Settings
from cxrscreen.service.store.audit import record
from cxrscreen.service.store.people import SignOn, User

_LOG = structlog.get_logger(__name__)
_MINUTES: Final = 10
"""How long somebody may take at the identity provider."""


@dataclass(frozen=True)
class Departure:
    """A browser on its way: where to, and the key in its cookie by which it is known when it is back."""

    address: str
    key: str


@dataclass(frozen=True)
class Returning:
    """What a browser brings back: its cookie, and what the provider put into the address."""

    key: str | None
    state: str
    code: str | None
    issuer: str | None


@dataclass(frozen=True)
class Returned:
    """Somebody who is signed in, and the page they came for."""

    arrival: Arrival
    return_to: str


def depart(context: Context, provider: Provider, return_to: str) -> Departure:
    """Prepare a browser's way to the identity provider.

    Parameters
    ----------
    context
        The store.
    provider
        Where to.
    return_to
        Page of the service to come back to; anything but a path of it becomes its first page.

    Raises
    ------
    ProviderError
        If the provider does not answer.
    """
    key, state, nonce, verifier = draw_key(), draw_key(), draw_key(), secrets.token_urlsafe(64)
    address = provider.address(state=state, nonce=nonce, verifier=verifier)
    now = context.now()
    with context.database.writing() as session:
        session.execute(delete(SignOn).where(SignOn.expires_at < now))
        session.add(
            SignOn(
                digest=digest_of(key),
                state=state,
                nonce=nonce,
                verifier=verifier,
                return_to=_own_path(return_to),
                expires_at=now + timedelta(minutes=_MINUTES),
            )
        )
    return Departure(address, key)


def arrive(
    context: Context, provider: Provider, returning: Returning, *, instead_of: str | None, request: str | None = None
) -> Returned:
    """Sign somebody in who is back from the identity provider; their account is made when they first come.

    Somebody known to whom the provider gives no role any more keeps nothing: sessions end, and tokens are revoked.

    Parameters
    ----------
    context
        The store.
    provider
        Where they were.
    returning
        What the browser brings; good for one time.
    instead_of
        Key of the session that the browser had.
    request
        The request's number, for the audit log.

    Raises
    ------
    NotSignedInError
        If this is not the browser that left, it took too long, or the provider did not let them in.
    ForbiddenError
        If none of their groups has a role, their account is shut, or no account can have their name.
    ConflictError
        If somebody else's account has their name.
    """
    try:
        left, identity = _vouched_for(context, provider, returning)
    except ServiceError as error:
        # Anybody can come so far: in the audit log, which nobody can empty, are those whom the provider knows.
        _LOG.warning("sign-in refused", why=type(error).__name__, by="provider")
        raise
    try:
        role = _role_of(identity, provider.settings)
        if role is None:
            _end_access(context, identity, request)
            raise ForbiddenError("None of your groups has access to this service; ask an administrator.")
        with context.database.writing() as session:
            user = _account_of(session, context, identity, role)
            opened = open_session(session, user, context.now(), context.settings, instead_of=instead_of)
    except ServiceError as error:
        why = type(error).__name__
        record(context, NOBODY, "session.opened", "service", None, request=request, outcome="refused", why=why)
        raise
    principal = Principal(user.name, Role[user.role.upper()], "session", user.id)
    record(context, principal, "session.opened", "account", user.id, request=request, by="provider")
    return Returned(Arrival(principal, opened), left.return_to)


def cookie_name(settings: Settings) -> str:
    """Return the name of the cookie that a browser holds while it is away."""
    return "__Host-cxrscreen-away" if settings.behind_tls else "cxrscreen-away"


def set_cookie(response: Response, settings: Settings, departure: Departure) -> None:
    """Give a browser the key by which it is known when it is back."""
    response.set_cookie(
        cookie_name(settings),
        departure.key,
        max_age=_MINUTES * 60,
        path="/",
        httponly=True,
        secure=settings.behind_tls,
        samesite="lax",
    )


def clear_cookie(response: Response, settings: Settings) -> None:
    """Take that key away."""
    response.delete_cookie(cookie_name(settings), path="/", httponly=True, secure=settings.behind_tls, samesite="lax")


def _vouched_for(context: Context, provider: Provider, returning: Returning) -> tuple[SignOn, Identity]:
    left = _taken_out(context, returning)
    if returning.code is None or (returning.issuer is not None and returning.issuer != provider.settings.issuer):
        raise NotSignedInError("The identity provider did not sign you in; try again.")
    return left, provider.identity(returning.code, verifier=left.verifier, nonce=left.nonce)


def _taken_out(context: Context, returning: Returning) -> SignOn:
    """Give what was kept of a browser that left, and forget it."""
    with context.database.writing() as session:
        left = None if returning.key is None else session.get(SignOn, digest_of(returning.key))
        if left is not None:
            session.delete(left)
    # As bytes: what is compared so as text must be ASCII, and an address can hold anything.
    same = left is not None and secrets.compare_digest(left.state.encode(), returning.state.encode())
    if left is None or left.expires_at <= context.now() or not same:
        raise NotSignedInError("This sign-in was begun elsewhere or took too long; begin again.")
    return left


def _role_of(identity: Identity, settings: IdentityProvider) -> Role | None:
    roles = [role_named(settings.roles[group]) for group in identity.groups if group in settings.roles]
    return max(roles, default=None)


def _end_access(context: Context, identity: Identity, request: str | None) -> None:
    """End the sessions and tokens of somebody who has no role any more, in a transaction that the refusal outlives."""
    with context.database.writing() as session:
        user = _known(session, identity)
        if user is None:
            return
        end_sessions(session, user.id)
        revoke_tokens(session, user.id, context.now())
    record(context, NOBODY, "account.access_ended", "account", user.id, request=request, by="provider")


def _account_of(session: Session, context: Context, identity: Identity, role: Role) -> User:
    user = _known(session, identity)
    if user is None:
        user = _new_account(session, context, identity, role)
    if user.disabled_at is not None:
        raise ForbiddenError("Your account is shut; ask an administrator.")
    # The provider knows best who belongs where, each time.
    user.role = role.name.lower()
    return user


def _known(session: Session, identity: Identity) -> User | None:
    theirs = (User.oidc_issuer == identity.issuer, User.oidc_subject == identity.subject)
    return session.scalars(select(User).where(*theirs)).first()


def _new_account(session: Session, context: Context, identity: Identity, role: Role) -> User:
    try:
        user = add_account(session, identity.name, role, context.now(), display_name=identity.display_name)
    except AccountError:
        raise ForbiddenError(
            "The identity provider gives you a name that no account can have; tell an administrator."
        ) from None
    user.oidc_issuer, user.oidc_subject = identity.issuer, identity.subject
    session.flush()
    return user


def _own_path(path: str) -> str:
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if safe else "/"


__all__ = [
    "Departure",
    "Provider",
    "Returned",
    "Returning",
    "arrive",
    "clear_cookie",
    "cookie_name",
    "depart",
    "set_cookie",
]
