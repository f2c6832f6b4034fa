"""Signing in with a name and a password; wording and time tell nobody whether there is such an account."""

from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import select

from cxrscreen.service.access import Principal, Role
from cxrscreen.service.context import Context
from cxrscreen.service.problems import ForbiddenError, NotSignedInError
from cxrscreen.service.security.accounts import AccountError, tidy_name
from cxrscreen.service.security.attempts import TooManyAttemptsError, count_attempt, forget_attempts
from cxrscreen.service.security.passwords import hash_password, is_outdated, password_fits
from cxrscreen.service.security.sessions import Opened, open_session
from cxrscreen.service.store.audit import record
from cxrscreen.service.store.people import User

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Arrival:
    """Somebody who just signed in, and their session."""

    principal: Principal
    opened: Opened


def sign_in(
    context: Context, name: str, password: str, *, address: str, instead_of: str | None, request: str | None = None
) -> Arrival:
    """Open a session for whoever knows an account's password.

    Who is refused is in the service's log. In the audit log, which nobody can empty and strangers could fill, are
    attempts on an account that is there, as many as its limit allows, and that a limit was reached, once in as long as
    attempts are counted.

    Parameters
    ----------
    context
        The store and the limits.
    name, password
        As given.
    address
        Of the client.
    instead_of
        Key of the session that the browser had.
    request
        The request's number, for the audit log.

    Raises
    ------
    TooManyAttemptsError
        If there were too many failed attempts, for the account or from the address.
    NotSignedInError
        If there is no such account, it is shut, it has no password, or the password is another.
    """
    user = _user_named(context, name)
    # A name that is no account's may be a password in the wrong field: it is not written down.
    account_id = None if user is None else user.id
    try:
        count_attempt(context, name, address)
    except TooManyAttemptsError as error:
        _note_limit(context, error, NOBODY, "session.opened", account_id, request)
        raise
    kept = None if user is None or user.disabled_at is not None else user.password_hash
    if not password_fits(kept, password) or user is None or kept is None:
        _LOG.warning("sign-in refused", account=account_id, why="password")
        if account_id is not None:
            record(context, NOBODY, "session.opened", "account", account_id, request=request, outcome="refused")
        raise NotSignedInError(_WRONG)
    rehashed = hash_password(password) if is_outdated(kept) else kept
    with context.database.writing() as session:
        forget_attempts(session, name)
        held = session.get_one(User, user.id)
        if held.password_hash != kept:
            raise NotSignedInError(_WRONG)
        held.password_hash = rehashed
        opened = open_session(session, held, context.now(), context.settings, instead_of=instead_of)
    principal = Principal(user.name, Role[user.role.upper()], "session", user.id)
    record(context, principal, "session.opened", "account", user.id, request=request)
    return Arrival(principal, opened)


def confirm_password(
    context: Context, account_id: str, password: str, *, address: str, request: str | None = None
) -> None:
    """See that whoever uses a session knows its account's password; attempts count as those to sign in.

    Raises
    ------
    TooManyAttemptsError
        If there were too many failed ones.
    ForbiddenError
        If the password is another, or the account has none.
    """
    with context.database.reading() as session:
        user = session.get_one(User, account_id)
    principal = Principal(user.name, Role[user.role.upper()], "session", user.id)
    try:
        count_attempt(context, user.name, address)
    except TooManyAttemptsError as error:
        _note_limit(context, error, principal, "account.password_changed", user.id, request)
        raise
    if not password_fits(user.password_hash, password):
        record(context, principal, "account.password_changed", "account", user.id, request=request, outcome="refused")
        raise ForbiddenError("The present password is wrong; try again.")
    with context.database.writing() as session:
        forget_attempts(session, user.name)


NOBODY: Final = Principal("nobody", Role.VIEWER, "nobody")
"""Who did it where nobody was recognised."""
_WRONG: Final = "Name or password is wrong; try again."


def _note_limit(
    context: Context,
    error: TooManyAttemptsError,
    principal: Principal,
    action: str,
    account_id: str | None,
    request: str | None,
) -> None:
    _LOG.warning("sign-in refused", account=account_id, why="limit")
    if error.first:
        record(context, principal, action, "account", account_id, request=request, outcome="refused", why="limit")


def _user_named(context: Context, name: str) -> User | None:
    try:
        tidy = tidy_name(name)
    except AccountError:
        return None
    with context.database.reading() as session:
        return session.scalars(select(User).where(User.name == tidy)).first()
