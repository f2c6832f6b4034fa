"""Limits on guessing passwords, kept in the database so that all processes count together."""

import ipaddress
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cxrscreen.service.context import Context
from cxrscreen.service.problems import ServiceError
from cxrscreen.service.security.accounts import folded_name
from cxrscreen.service.security.keys import digest_of
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.people import SignInAttempt

WINDOW: Final = timedelta(minutes=15)
_NOTES: Final = "notes"
"""Stands for an address where a row is no attempt, but says that a limit was reached."""
_ACCOUNT_LOCKS, _ADDRESS_LOCKS = 4_215_926, 4_215_927


class TooManyAttemptsError(ServiceError):
    """Too many failed sign-ins for an account or from an address, of late.

    Parameters
    ----------
    wait
        After which one more attempt is let pass.
    first
        Whether nobody was told so of this account or this address for as long as attempts are counted.
    """

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, wait: timedelta, *, first: bool) -> None:
        self.first = first
        self.wait_seconds = max(1, math.ceil(wait.total_seconds()))
        minutes = math.ceil(self.wait_seconds / 60)
        super().__init__(f"Too many attempts to sign in; wait {minutes} min, or ask an administrator.")

    @property
    def headers(self) -> Mapping[str, str]:
        """When to come back (RFC 9110, section 10.2.3)."""
        return {"Retry-After": str(self.wait_seconds)}


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
        free = {
            account: _free_at(session, settings.attempts_per_account, account=account),
            origin: _free_at(session, settings.attempts_per_address, address=origin),
        }
        full = {key: moment for key, moment in free.items() if moment is not None}
        if not full:
            session.add(SignInAttempt(id=new_id(), account=account, address=origin, at=now))
            return
        noted = [_note(session, key, now) for key in full]
    raise TooManyAttemptsError(max(full.values()) - now, first=any(noted))


def forget_attempts(session: Session, name: str) -> None:
    """Forget what was counted against an account; what others tried from the same address still counts."""
    session.execute(delete(SignInAttempt).where(SignInAttempt.account == _account_of(name)))


def _free_at(session: Session, most: int, **given: str) -> datetime | None:
    """Tell when fewer attempts than allowed will be left of those counted; None where that is so already."""
    # The one whose place the next attempt would take: the latest but as many as are allowed.
    counted = select(SignInAttempt.at).filter_by(**given).order_by(SignInAttempt.at.desc())
    in_the_way = session.scalars(counted.offset(most - 1).limit(1)).first()
    return None if in_the_way is None else in_the_way + WINDOW


def _note(session: Session, key: str, now: datetime) -> bool:
    """Note that the limit of an account or address was reached; False where that is noted already."""
    # Among the attempts, so that the note goes as they do; no name is folded to one with a capital letter.
    note = {"account": digest_of(f"Noted {key}"), "address": _NOTES}
    if session.scalar(select(SignInAttempt.id).filter_by(**note).limit(1)) is not None:
        return False
    session.add(SignInAttempt(id=new_id(), at=now, **note))
    return True


def _take_turns(session: Session, account: str, origin: str) -> None:
    """On PostgreSQL, let those who count against the same account or address do so one after the other."""
    if session.get_bind().dialect.name == "postgresql":
        # All take the account's lock first, so nobody waits for somebody who waits for them.
        session.execute(select(func.pg_advisory_xact_lock(_ACCOUNT_LOCKS, func.hashtext(account))))
        session.execute(select(func.pg_advisory_xact_lock(_ADDRESS_LOCKS, func.hashtext(origin))))


def _account_of(name: str) -> str:
    # Folded as accounts are found, or each spelling of a name would have its own attempts.
    return digest_of(folded_name(name))


def _origin_of(address: str) -> str:
    """Return an address, of IPv6 the network that one customer has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))
