"""Tokens: keys for programs. They are shown once; the database holds their digests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cxrscreen.service.access import Principal, Role
from cxrscreen.service.context import Context
from cxrscreen.service.problems import NotFoundError, ServiceError
from cxrscreen.service.security.keys import TOKEN_PREFIX, digest_of, draw_key
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.people import Token, User

_NOTED_EVERY: Final = timedelta(minutes=1)


class TokenError(ServiceError):
    """Something a token cannot have."""


@dataclass(frozen=True)
class MadeToken:
    """A new token.

    Parameters
    ----------
    token_id
        By which it is listed and revoked.
    key
        What its program sends; it is nowhere else.
    """

    token_id: str
    key: str


def make_token(
    session: Session, name: str, role: Role, now: datetime, *, owner: User | None, days: float | None
) -> MadeToken:
    """Make a token.

    Parameters
    ----------
    session
        One that writes.
    name
        What it is for, for people.
    role
        What it may do; it never may more than its owner, also later.
    now
        The moment.
    owner
        Whose it is; None for one of the service itself.
    days
        How long it is good for; None: until it is revoked.

    Raises
    ------
    TokenError
        If its role is above its owner's, or it has no name.
    """
    tidy = "".join(character for character in name if character.isprintable()).strip()[:64]
    if not tidy:
        raise TokenError("A token needs a name that says what it is for.")
    if owner is not None and role > Role[owner.role.upper()]:
        raise TokenError("A token cannot do more than its owner; choose a lower role.")
    key = TOKEN_PREFIX + draw_key()
    token = Token(
        id=new_id(),
        digest=digest_of(key),
        name=tidy,
        role=role.name.lower(),
        user_id=None if owner is None else owner.id,
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    session.add(token)
    session.flush()
    return MadeToken(token.id, key)


def tokens(session: Session, account_id: str | None = None) -> Sequence[Token]:
    """List tokens, the newest first: those of an account, or all."""
    chosen = select(Token).order_by(Token.created_at.desc(), Token.id)
    return session.scalars(chosen if account_id is None else chosen.where(Token.user_id == account_id)).all()


def revoke_token(session: Session, token_id: str, now: datetime, *, account_id: str | None = None) -> None:
    """Make a token worthless; one that is so already stays so.

    Parameters
    ----------
    session, now
        As above.
    token_id
        Which.
    account_id
        Whose it has to be; None: anybody's.

    Raises
    ------
    NotFoundError
        If there is no such token, or it is another's.
    """
    token = session.get(Token, token_id)
    if token is None or (account_id is not None and token.user_id != account_id):
        raise NotFoundError("There is no such token; see the list of tokens.")
    token.revoked_at = token.revoked_at or now


def revoke_tokens(session: Session, account_id: str, now: datetime) -> None:
    """Make all tokens of an account worthless."""
    theirs = (Token.user_id == account_id, Token.revoked_at.is_(None))
    session.execute(update(Token).where(*theirs).values(revoked_at=now))


def principal_of_token(context: Context, key: str) -> Principal | None:
    """Tell who sends a key; None for one that is unknown, expired or revoked, or whose owner's account is shut."""
    now = context.now()
    with context.database.reading() as session:
        found = session.execute(
            select(Token, User).outerjoin(User, Token.user_id == User.id).where(Token.digest == digest_of(key))
        ).first()
        if found is None:
            return None
        token, owner = found
        expired = token.expires_at is not None and now >= token.expires_at
        if token.revoked_at is not None or expired or (owner is not None and owner.disabled_at is not None):
            return None
        role = Role[token.role.upper()]
        if owner is not None:
            role = min(role, Role[owner.role.upper()])
        name = f"{token.name} ({owner.name})" if owner is not None else token.name
        principal = Principal(name[:128], role, "token", None if owner is None else owner.id)
        used, token_id = token.last_used_at, token.id
    if used is None or now - used > _NOTED_EVERY:
        with context.database.writing() as session:
            again = session.get(Token, token_id)
            if again is not None:
                again.last_used_at = now
    return principal
