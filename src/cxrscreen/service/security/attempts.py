"""Limits on guessing passwords, kept in the database so that all processes count together."""

import ipaddress
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cxrscreen.service.context import Context
from cxrscreen.service.problems import ServiceError
from cxrscreen.service.security.keys import digest_of
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.people import SignInAttempt

WINDOW: Final = timedelta(minutes=15)
_ACCOUNT_LOCKS, _ADDRESS_LOCKS = 4_215_926, 4_215_927


class TooManyAttemptsError(ServiceError):
    """Too many failed sign-ins for an account or from an address, of late."""

    status = HTTPStatus.TOO_MANY_REQUESTS


def count_attempt(context: Context, name: str, address: str) -> None:
    """Count a sign-in as failed before it is known to be, so that many at once do not slip through together.

    Names that no account has are counted alike: the limit tells nobody which accounts exist.

    Parameters
    ----------
    context
        The store and the limits.
    name
        As given.
    address
        Of the client.

    Raises
    ------
    TooManyAttemptsError
        If there were too many; the one refused is not counted.
    """
    settings, now = context.settings, context.now()
    account, origin = _account_of(name), _origin_of(address)
    with context.database.writing() as session:
        session.execute(delete(SignInAttempt).where(SignInAttempt.at < now - WINDOW))
        _take_turns(session, account, origin)
        of_account = _count(session, account=account)
        of_address = _count(session, address=origin)
        if of_account >= settings.attempts_per_account or of_address >= settings.attempts_per_address:
            raise TooManyAttemptsError(
                f"Too many attempts to sign in; wait {WINDOW.seconds // 60} minutes, or ask an administrator."
            )
        session.add(SignInAttempt(id=new_id(), account=account, address=origin, at=now))


def forget_attempts(session: Session, name: str) -> None:
    """Forget what was counted against an account; what others tried from the same address still counts."""
    session.execute(delete(SignInAttempt).where(SignInAttempt.account == _account_of(name)))


def _count(session: Session, **given: str) -> int:
    return session.scalar(select(func.count()).select_from(SignInAttempt).filter_by(**given)) or 0


def _take_turns(session: Session, account: str, origin: str) -> None:
    """On PostgreSQL, let those who count against the same account or address do so one after the other."""
    if session.get_bind().dialect.name == "postgresql":
        # All take the account's lock first, so nobody waits for somebody who waits for them.
        session.execute(select(func.pg_advisory_xact_lock(_ACCOUNT_LOCKS, func.hashtext(account))))
        session.execute(select(func.pg_advisory_xact_lock(_ADDRESS_LOCKS, func.hashtext(origin))))


def _account_of(name: str) -> str:
    return digest_of(name.strip().lower())


def _origin_of(address: str) -> str:
    """Return an address, of IPv6 the network that one customer has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))
