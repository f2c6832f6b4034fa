"""Signing in and out in a browser, by password or by an identity provider, and one's own password."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cxrscreen.service.access import OPEN_TO_ALL, Principal
from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import AuditLog, Viewer
from cxrscreen.service.context import Here
from cxrscreen.service.problems import ConflictError, NotFoundError
from cxrscreen.service.security import accounts, single_sign_on
from cxrscreen.service.security.identity_provider import BACK
from cxrscreen.service.security.keys import forgery_token
from cxrscreen.service.security.recognise import check_origin
from cxrscreen.service.security.sessions import (
    clear_cookie,
    cookie_name,
    end_session,
    open_session,
    set_cookie,
    signed_in,
)
from cxrscreen.service.security.sign_in import Arrival, confirm_password, sign_in

router = APIRouter(tags=["signing in"])


class Credentials(BaseModel):
    """What a person signs in with."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=256)
    password: SecretStr = Field(min_length=1, max_length=1024)


class NewPassword(BaseModel):
    """A person's present password and the one that takes its place."""

    model_config = ConfigDict(extra="forbid")

    present: SecretStr = Field(min_length=1, max_length=1024)
    new: SecretStr = Field(min_length=1, max_length=1024)


class Myself(BaseModel):
    """Who is asking."""

    name: str
    role: str = Field(description="'viewer', 'reader' or 'admin'.")
    kind: str = Field(description="How they were recognised: 'session' or 'token'.")
    csrf_token: str | None = Field(None, description="To be sent as X-CSRF-Token with every change in this session.")
    expires_at: datetime | None = Field(None, description="When the session ends at the latest.")


@router.post(f"{PREFIX}/session", dependencies=[Depends(OPEN_TO_ALL)])
def open_a_session(given: Credentials, request: Request, response: Response, here: Here) -> Myself:
    """Sign in with a name and a password; the session's cookie comes with the answer."""
    check_origin(request, here.settings)
    arrival = sign_in(
        here,
        given.name,
        given.password.get_secret_value(),
        address=address_of(request),
        instead_of=request.cookies.get(cookie_name(here.settings)),
        request=request.state.number,
    )
    set_cookie(response, here.settings, arrival.opened)
    return _arrived(arrival)


@router.get(f"{PREFIX}/session")
def myself(request: Request, here: Here, asking: Viewer) -> Myself:
    """Tell who is asking, and the token that changes in this session need."""
    key = request.cookies.get(cookie_name(here.settings), "")
    whose = signed_in(here, key) if asking.kind == "session" else None
    return Myself(
        name=asking.name,
        role=asking.role.name.lower(),
        kind=asking.kind,
        csrf_token=None if whose is None else forgery_token(key),
        expires_at=None if whose is None else whose.expires_at,
    )


@router.delete(f"{PREFIX}/session", status_code=204)
def end_the_session(request: Request, here: Here, asking: Viewer, log: AuditLog) -> Response:
    """Sign out."""
    with here.database.writing() as session:
        end_session(session, request.cookies.get(cookie_name(here.settings), ""))
    log("session.ended", "account", asking.account_id)
    response = Response(status_code=204)
    clear_cookie(response, here.settings)
    return response


@router.delete(f"{PREFIX}/sessions", status_code=204)
def end_my_sessions(here: Here, asking: Viewer, log: AuditLog) -> Response:
    """Sign out everywhere."""
    with here.database.writing() as session:
        accounts.end_sessions(session, _own_account(asking))
    log("session.all_ended", "account", asking.account_id)
    response = Response(status_code=204)
    clear_cookie(response, here.settings)
    return response


@router.put(f"{PREFIX}/session/password")
def change_my_password(
    given: NewPassword, request: Request, response: Response, here: Here, asking: Viewer, log: AuditLog
) -> Myself:
    """Take another password; all other sessions end, and this one gets a new cookie."""
    account_id = _own_account(asking)
    present = given.present.get_secret_value()
    confirm_password(here, account_id, present, address=address_of(request), request=request.state.number)
    with here.database.writing() as session:
        user = accounts.account(session, account_id)
        accounts.set_password(session, user, given.new.get_secret_value(), here.now())
        opened = open_session(session, user, here.now(), here.settings, instead_of=None)
    log("account.password_changed", "account", account_id)
    set_cookie(response, here.settings, opened)
    return _arrived(Arrival(asking, opened))


@router.get("/sign-in/provider", status_code=303, dependencies=[Depends(OPEN_TO_ALL)])
def to_the_provider(
    request: Request, here: Here, return_to: Annotated[str, Query(max_length=256)] = "/"
) -> RedirectResponse:
    """Send the browser to the identity provider."""
    departure = single_sign_on.depart(here, _provider(request), return_to)
    response = RedirectResponse(departure.address, 303)
    single_sign_on.set_cookie(response, here.settings, departure)
    return response


@router.get(BACK, status_code=303, dependencies=[Depends(OPEN_TO_ALL)])
def from_the_provider(
    request: Request,
    here: Here,
    state: Annotated[str, Query(max_length=256)] = "",
    code: Annotated[str | None, Query(max_length=2048)] = None,
    iss: Annotated[str | None, Query(max_length=256)] = None,
) -> RedirectResponse:
    """Take the browser back from the identity provider, signed in."""
    returned = single_sign_on.arrive(
        here,
        _provider(request),
        single_sign_on.Returning(request.cookies.get(single_sign_on.cookie_name(here.settings)), state, code, iss),
        instead_of=request.cookies.get(cookie_name(here.settings)),
        request=request.state.number,
    )
    response = RedirectResponse(returned.return_to, 303)
    single_sign_on.clear_cookie(response, here.settings)
    set_cookie(response, here.settings, returned.arrival.opened)
    return response


def address_of(request: Request) -> str:
    """Return the client's address, behind trusted proxies the one that they name."""
    return request.client.host if request.client is not None else "unknown"


def _arrived(arrival: Arrival) -> Myself:
    return Myself(
        name=arrival.principal.name,
        role=arrival.principal.role.name.lower(),
        kind="session",
        csrf_token=arrival.opened.forgery_token,
        expires_at=arrival.opened.expires_at,
    )


def _own_account(asking: Principal) -> str:
    if asking.kind != "session" or asking.account_id is None:
        raise ConflictError("This is about a session in a browser; sign in with a name and a password.")
    return asking.account_id


def _provider(request: Request) -> single_sign_on.Provider:
    provider: single_sign_on.Provider | None = request.app.state.provider
    if provider is None:
        raise NotFoundError("No identity provider is set up; sign in with a name and a password.")
    return provider
