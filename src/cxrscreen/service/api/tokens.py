"""Tokens for programs: one's own, and for administrators all."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from cxrscreen.service.access import Principal, Role
from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import AuditLog, Id, Viewer
from cxrscreen.service.context import Here
from cxrscreen.service.problems import ForbiddenError
from cxrscreen.service.security import accounts
from cxrscreen.service.security.tokens import make_token, revoke_token, tokens
from cxrscreen.service.settings import RoleName
from cxrscreen.service.store import people

router = APIRouter(prefix=f"{PREFIX}/tokens", tags=["tokens"])


class Token(BaseModel):
    """A token; the key itself is told once, when it is made."""

    id: str
    name: str
    role: str
    account: str | None = Field(description="Identifier of its owner's account.")
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute.")
    expires_at: datetime | None
    revoked_at: datetime | None


class NewToken(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64, description="What it is for.")
    role: RoleName = Field(description="What it may do; no more than its owner.")
    days: float | None = Field(90, gt=0, le=3660, description="How long it is good for; null: until it is revoked.")


class Made(Token):
    """A new token with its key."""

    key: str = Field(description="What its program sends as 'Authorization: Bearer ...'; it is not told again.")


@router.get("")
def list_tokens(here: Here, asking: Viewer, log: AuditLog) -> list[Token]:
    """List one's own tokens; an administrator sees everybody's."""
    with here.database.reading() as session:
        listed = [_view(token) for token in tokens(session, _whose(asking))]
    log("token.listed", "service", None)
    return listed


@router.post("", status_code=201)
def add(given: NewToken, here: Here, asking: Viewer, log: AuditLog) -> Made:
    """Make a token of one's own; only a person who is signed in can, so that no token begets others."""
    if asking.kind != "session" or asking.account_id is None:
        raise ForbiddenError("A token cannot make another one; sign in with a name and a password.")
    with here.database.writing() as session:
        owner = accounts.account(session, asking.account_id)
        made = make_token(
            session, given.name, accounts.role_named(given.role), here.now(), owner=owner, days=given.days
        )
        view = Made(**_view(session.get_one(people.Token, made.token_id)).model_dump(), key=made.key)
    log("token.made", "token", made.token_id, given=given.role)
    return view


@router.delete("/{token_id}", status_code=204)
def revoke(token_id: Id, here: Here, asking: Viewer, log: AuditLog) -> Response:
    """Make a token worthless: one's own; an administrator may do so with any."""
    with here.database.writing() as session:
        revoke_token(session, token_id, here.now(), account_id=_whose(asking))
    log("token.revoked", "token", token_id)
    return Response(status_code=204)


def _whose(asking: Principal) -> str | None:
    """Return whose tokens somebody deals with; None: everybody's. Without an account there are none of one's own."""
    return None if asking.role is Role.ADMIN else asking.account_id or ""


def _view(token: people.Token) -> Token:
    return Token(
        id=token.id,
        name=token.name,
        role=token.role,
        account=token.user_id,
        created_at=token.created_at,
        last_used_at=token.last_used_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )
