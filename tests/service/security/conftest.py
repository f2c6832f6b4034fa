"""Accounts of each role, and passwords that cost no time."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cxrscreen.service.access import Role
from cxrscreen.service.app import create_app
from cxrscreen.service.context import Context
from cxrscreen.service.security import passwords
from cxrscreen.service.security.accounts import add_account
from cxrscreen.service.security.tokens import make_token

PASSWORD = "walrus bicycle tangerine"
NAMES = {Role.VIEWER: "vera", Role.READER: "rita", Role.ADMIN: "anna"}


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords():
    """Argon2 with parameters that are no protection, and quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@dataclass
class People:
    """The service with an account of each role."""

    app: FastAPI
    context: Context
    ids: dict[Role, str]

    def under(self, **changes: object) -> "People":
        """The same with other settings."""
        context = replace(self.context, settings=self.context.settings.model_copy(update=changes))
        return People(create_app(context.settings, context), context, self.ids)

    def stranger(self, **options: object) -> TestClient:
        return TestClient(self.app, raise_server_exceptions=False, **options)

    def signed_in(self, role: Role) -> TestClient:
        """A browser in which somebody is signed in, whose pages send the token against forged requests."""
        client = self.stranger()
        answer = client.post("/api/v1/session", json={"name": NAMES[role], "password": PASSWORD})
        assert answer.status_code == 200
        client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        return client

    def with_token(self, role: Role, **options: object) -> TestClient:
        with self.context.database.writing() as session:
            made = make_token(session, "test", role, self.context.now(), owner=None, **{"days": 1, **options})
        return self.stranger(headers={"Authorization": f"Bearer {made.key}"})


@pytest.fixture
def people(context: Context) -> People:
    app = create_app(context.settings, context)
    ids = {}
    with context.database.writing() as session:
        for role, name in NAMES.items():
            ids[role] = add_account(session, name, role, context.now(), password=PASSWORD).id
    return People(app, context, ids)


@pytest.fixture
def actions(context: Context) -> Callable[[], list[tuple[str, str, str]]]:
    """The audit log in short: who, what, and whether it was done."""
    from cxrscreen.service.security.audit_log import Filter, events

    def listed() -> list[tuple[str, str, str]]:
        with context.database.reading() as session:
            found = events(session, Filter(), before=None, at_most=1000)
        return [(event.actor, event.action, event.outcome) for event in reversed(found)]

    return listed
