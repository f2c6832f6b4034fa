"""Who asks, and what a route needs: every route declares one requirement, and a test walks them all."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from fastapi import Request
from fastapi.dependencies.models import Dependant

from cxrscreen.service.problems import ForbiddenError, NotSignedInError


class Role(IntEnum):
    """What somebody may do; a higher role may do everything that a lower one may."""

    VIEWER = 1
    """See studies and results."""
    READER = 2
    """Also send images, ask for screenings and give feedback."""
    ADMIN = 3
    """Also delete, and see and change what concerns the service itself."""


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Parameters
    ----------
    name
        For the audit log and as author of feedback.
    role
        What they may do.
    kind
        How they were recognised.
    account_id
        Of their account; None where they have none, as the settings' token and a DICOM node.
    """

    name: str
    role: Role
    kind: Literal["token", "session", "node", "console", "nobody"]
    account_id: str | None = None


Authenticator = Callable[[Request], Principal | None]
"""Recognises who sends a request; None where it cannot tell.

It raises nothing for wrong credentials, and :class:`ForbiddenError` for right ones that somebody else made use of.
"""


@dataclass(frozen=True)
class Access:
    """The ways to be recognised, asked in order; the first that knows who it is decides.

    Parameters
    ----------
    authenticators
        In order.
    on_refusal
        Told of each request that somebody known sends without the role for it.
    """

    authenticators: tuple[Authenticator, ...] = field(default=())
    on_refusal: Callable[[Request, Principal], None] = field(default=lambda _request, _principal: None)

    def principal(self, request: Request) -> Principal:
        """Tell who sends a request.

        Raises
        ------
        NotSignedInError
            If nobody known does.
        """
        for authenticator in self.authenticators:
            principal = authenticator(request)
            if principal is not None:
                return principal
        raise NotSignedInError("Sign in, or send a valid token in the Authorization header (Bearer).")


@dataclass(frozen=True)
class Requirement:
    """What a route needs; as a dependency it gives who asks.

    Parameters
    ----------
    role
        The lowest role that may pass; None: everybody, also without credentials.
    """

    role: Role | None

    def __call__(self, request: Request) -> Principal | None:
        """Let a request pass, or raise :class:`NotSignedInError` or :class:`ForbiddenError`."""
        if self.role is None:
            return None
        access: Access = request.app.state.access
        principal = access.principal(request)
        request.state.principal = principal
        if principal.role < self.role:
            access.on_refusal(request, principal)
            raise ForbiddenError(f"This needs the role {self.role.name.lower()}; ask an administrator for it.")
        return principal


def require(role: Role) -> Requirement:
    """Declare the lowest role that may use a route."""
    return Requirement(role)


OPEN_TO_ALL = Requirement(None)
"""For the few routes that show nothing but that the service is there."""


def bearer_token(token: str, principal: Principal) -> Authenticator:
    """Make the authenticator of one token that the settings hold.

    Parameters
    ----------
    token
        What the client has to send as ``Authorization: Bearer <token>``.
    principal
        Who that is.
    """
    expected = token.encode()

    def recognise(request: Request) -> Principal | None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), expected)
        return principal if scheme.lower() == "bearer" and same else None

    return recognise


def requirements_of(dependant: Dependant) -> list[Requirement]:
    """List what a route declares, itself or through its dependencies."""
    own = [dependant.call] if isinstance(dependant.call, Requirement) else []
    return [*own, *(found for inner in dependant.dependencies for found in requirements_of(inner))]
