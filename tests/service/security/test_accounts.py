import pytest

from cxrscreen.service.access import Role
from cxrscreen.service.problems import ConflictError, NotFoundError
from cxrscreen.service.security import accounts
from cxrscreen.service.security.accounts import AccountError
from cxrscreen.service.security.first_admin import make_first_admin, somebody_can_sign_in
from cxrscreen.service.store.people import User

PASSWORD = "walrus bicycle tangerine"


def add(context, name, role=Role.VIEWER, **options):
    with context.database.writing() as session:
        return accounts.add_account(session, name, role, context.now(), **options)


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "ä", "a" * 65, "a\n", "../etc", "<b>"])
def test_names_that_cannot_be(context, name):
    with pytest.raises(AccountError):
        add(context, f"{name}x" if name == "a\n" else name)


def test_names_do_not_differ_by_case(context):
    assert add(context, " Maria.G@Hospital.example ").name == "maria.g@hospital.example"
    with pytest.raises(ConflictError):
        add(context, "MARIA.G@hospital.example")


def test_a_role_that_is_none():
    with pytest.raises(AccountError, match="viewer, reader, admin"):
        accounts.role_named("chief")


def test_the_last_administrator_stays(context):
    first = add(context, "first", Role.ADMIN)
    with context.database.writing() as session:
        held = session.get_one(User, first.id)
        with pytest.raises(ConflictError, match="only administrator"):
            accounts.disable(session, held, context.now())
        with pytest.raises(ConflictError, match="only administrator"):
            accounts.set_role(session, held, Role.READER)
    add(context, "second", Role.ADMIN)
    with context.database.writing() as session:
        accounts.disable(session, session.get_one(User, first.id), context.now())
    with context.database.writing() as session:
        second = accounts.account_named(session, "second")
        with pytest.raises(ConflictError):
            accounts.set_role(session, second, Role.VIEWER)


def test_an_account_that_is_not(context):
    with context.database.reading() as session, pytest.raises(NotFoundError):
        accounts.account_named(session, "nobody")


def test_the_first_administrator_is_made_once(context, actions):
    settings = context.settings.model_copy(update={"first_admin": "Chief"})
    assert not make_first_admin(context)
    assert not somebody_can_sign_in(context)
    from dataclasses import replace

    from pydantic import SecretStr

    given = replace(context, settings=settings.model_copy(update={"first_admin_password": SecretStr(PASSWORD)}))
    assert make_first_admin(given)
    assert not make_first_admin(given)
    assert somebody_can_sign_in(context)
    assert actions() == [("settings", "account.added", "done")]
