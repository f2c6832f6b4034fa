"""Accounts, for administrators."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import Admin, AuditLog, Id
from cxrscreen.service.context import Here
from cxrscreen.service.security import accounts
from cxrscreen.service.settings import RoleName
from cxrscreen.service.store.people import User

router = APIRouter(prefix=f"{PREFIX}/accounts", tags=["accounts"])


class Account(BaseModel):
    """An account; nothing of its password is told."""

    id: str
    name: str
    display_name: str | None
    role: str
    signs_in_by: list[Literal["password", "provider"]]
    created_at: datetime
    password_changed_at: datetime | None
    disabled_at: datetime | None


class NewAccount(BaseModel):
    """An account to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64, description="Letters, digits and . _ @ + -; it is kept lower case.")
    role: RoleName
    password: SecretStr = Field(min_length=1, max_length=1024)
    display_name: str | None = Field(None, max_length=128)


class Change(BaseModel):
    """What is to be otherwise; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    role: RoleName | None = None
    disabled: bool | None = None
    display_name: str | None = Field(None, max_length=128)


class Password(BaseModel):
    """A password that an administrator gives."""

    model_config = ConfigDict(extra="forbid")

    password: SecretStr = Field(min_length=1, max_length=1024)


@router.get("")
def list_accounts(here: Here, _asking: Admin, log: AuditLog) -> list[Account]:
    """List the accounts."""
    with here.database.reading() as session:
        listed = [_view(user) for user in accounts.accounts(session)]
    log("account.listed", "service", None)
    return listed


@router.post("", status_code=201)
def add(given: NewAccount, here: Here, _asking: Admin, log: AuditLog) -> Account:
    """Make an account."""
    with here.database.writing() as session:
        user = accounts.add_account(
            session,
            given.name,
            accounts.role_named(given.role),
            here.now(),
            password=given.password.get_secret_value(),
            display_name=given.display_name,
        )
        view = _view(user)
    log("account.added", "account", view.id, given=given.role)
    return view


@router.patch("/{account_id}")
def change(account_id: Id, given: Change, here: Here, _asking: Admin, log: AuditLog) -> Account:
    """Change an account's role, shut or open it, or name its person otherwise."""
    with here.database.writing() as session:
        user = accounts.account(session, account_id)
        if given.role is not None:
            accounts.set_role(session, user, accounts.role_named(given.role))
        if given.disabled is not None:
            accounts.disable(session, user, here.now()) if given.disabled else accounts.enable(user)
        if given.display_name is not None:
            user.display_name = given.display_name
        view = _view(user)
    log("account.changed", "account", account_id, given=given.model_dump(include={"role", "disabled"}))
    return view


@router.put("/{account_id}/password")
def give_password(account_id: Id, given: Password, here: Here, _asking: Admin, log: AuditLog) -> Account:
    """Give an account another password; whoever is signed in with it signs in again."""
    with here.database.writing() as session:
        user = accounts.account(session, account_id)
        accounts.set_password(session, user, given.password.get_secret_value(), here.now())
        view = _view(user)
    log("account.password_given", "account", account_id)
    return view


@router.delete("/{account_id}/sessions", status_code=204)
def end_sessions(account_id: Id, here: Here, _asking: Admin, log: AuditLog) -> Response:
    """Sign an account out everywhere."""
    with here.database.writing() as session:
        accounts.end_sessions(session, accounts.account(session, account_id).id)
    log("account.sessions_ended", "account", account_id)
    return Response(status_code=204)


def _view(user: User) -> Account:
    ways: list[Literal["password", "provider"]] = []
    if user.password_hash is not None:
        ways.append("password")
    if user.oidc_subject is not None:
        ways.append("provider")
    return Account(
        id=user.id,
        name=user.name,
        display_name=user.display_name,
        role=user.role,
        signs_in_by=ways,
        created_at=user.created_at,
        password_changed_at=user.password_changed_at,
        disabled_at=user.disabled_at,
    )
