"""Accounts: making them, their roles and passwords; there is always an administrator left."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cxrscreen.service.access import Role
from cxrscreen.service.problems import ConflictError, NotFoundError, ServiceError
from cxrscreen.service.security.passwords import check_password, hash_password
from cxrscreen.service.store import people
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.people import User

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


class AccountError(ServiceError):
    """Something an account cannot have or be."""


def tidy_name(name: str) -> str:
    """Return an account's name as it is kept: lower case, without spaces around it.

    Raises
    ------
    AccountError
        If it cannot be a name.
    """
    tidy = folded_name(name)
    if not _NAME.fullmatch(tidy):
        raise AccountError("The name of an account is 1 to 64 letters a to z, digits and . _ @ + -; choose another.")
    return tidy


def folded_name(name: str) -> str:
    """Return what all spellings of a name have in common; it need not be one that an account can have."""
    return unicodedata.normalize("NFKC", name).strip().lower()


def role_named(name: str) -> Role:
    """Return the role of a name.

    Raises
    ------
    AccountError
        If there is none of it.
    """
    try:
        return Role[name.upper()]
    except KeyError:
        raise AccountError(f"A role is {', '.join(role.name.lower() for role in Role)}; choose one.") from None


def add_account(
    session: Session,
    name: str,
    role: Role,
    now: datetime,
    *,
    password: str | None = None,
    display_name: str | None = None,
) -> User:
    """Make an account.

    Parameters
    ----------
    session
        One that writes.
    name
        See :func:`tidy_name`.
    role
        What it may do.
    now
        The moment.
    password
        None: nobody signs in with one.
    display_name
        The person's own name.

    Raises
    ------
    AccountError, WeakPasswordError
        If name or password cannot be used.
    ConflictError
        If there is an account of that name.
    """
    tidy = tidy_name(name)
    if session.scalar(select(User.id).where(User.name == tidy)) is not None:
        raise ConflictError("There is an account of that name already; choose another name.")
    user = User(id=new_id(), name=tidy, display_name=display_name, role=role.name.lower(), created_at=now)
    if password is not None:
        set_password(session, user, password, now)
    session.add(user)
    session.flush()
    return user


def account_named(session: Session, name: str) -> User:
    """Give the account of a name.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    user = session.scalars(select(User).where(User.name == tidy_name(name))).first()
    if user is None:
        raise _no_account()
    return user


def account(session: Session, account_id: str) -> User:
    """Give the account of an identifier.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    user = session.get(User, account_id)
    if user is None:
        raise _no_account()
    return user


def accounts(session: Session) -> Sequence[User]:
    """List all accounts by name."""
    return session.scalars(select(User).order_by(User.name)).all()


def set_password(session: Session, user: User, password: str, now: datetime) -> None:
    """Give an account another password; whoever is signed in with it signs in again.

    Raises
    ------
    WeakPasswordError
        If it may not be used.
    """
    check_password(password, [user.name, user.display_name or ""])
    user.password_hash = hash_password(password)
    user.password_changed_at = now
    end_sessions(session, user.id)


def set_role(session: Session, user: User, role: Role) -> None:
    """Give an account another role, at once also where it is signed in.

    Raises
    ------
    ConflictError
        If no administrator would be left.
    """
    if role is not Role.ADMIN:
        _leave_an_administrator(session, user)
    user.role = role.name.lower()


def disable(session: Session, user: User, now: datetime) -> None:
    """Shut an account: nobody signs in with it, its sessions end, its tokens do nothing.

    Raises
    ------
    ConflictError
        If no administrator would be left.
    """
    _leave_an_administrator(session, user)
    user.disabled_at = user.disabled_at or now
    end_sessions(session, user.id)


def enable(user: User) -> None:
    """Open an account again."""
    user.disabled_at = None


def end_sessions(session: Session, account_id: str) -> None:
    """End all sessions of an account."""
    session.execute(delete(people.Session).where(people.Session.user_id == account_id))


def has_administrator(session: Session) -> bool:
    """Tell whether there is an account that may do everything."""
    return session.scalar(select(User.id).where(_ADMINISTRATES).limit(1)) is not None


_ADMINISTRATES: Final = (User.role == "admin") & User.disabled_at.is_(None)


def _leave_an_administrator(session: Session, user: User) -> None:
    # Locked, so that two administrators who shut each other out at one moment do not both succeed.
    administrators = session.scalars(select(User.id).where(_ADMINISTRATES).with_for_update()).all()
    if list(administrators) == [user.id]:
        raise ConflictError("This is the only administrator; make another one first.")


def _no_account() -> NotFoundError:
    return NotFoundError("There is no such account; see the list of accounts.")
