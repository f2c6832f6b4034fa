"""``cxrscreen users`` and ``cxrscreen tokens``: who may use the screening server; for whoever has its console."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.database import MOST_DAYS
from cxrscreen.cli.serve import Config, Folder, settings_for
from cxrscreen.errors import CxrscreenError

if TYPE_CHECKING:
    from cxrscreen.service.context import Context
    from cxrscreen.service.store.audit import Target

users = typer.Typer(
    name="users",
    help="Make and change the accounts of the screening server.",
    no_args_is_help=True,
    epilog=RESEARCH_USE,
)
tokens = typer.Typer(
    name="tokens",
    help="Make and revoke keys by which programs use the screening server.",
    no_args_is_help=True,
    epilog=RESEARCH_USE,
)

RoleName = Literal["viewer", "reader", "admin"]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]
Role = Annotated[
    RoleName, typer.Option("--role", help="A viewer sees, a reader also sends and judges, an admin does everything.")
]


@users.command("add")
def add_user(
    name: Name,
    role: Role,
    display_name: Annotated[str | None, typer.Option(help="The person's own name.")] = None,
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Make an account; the password is asked for, or read from the first line of the standard input."""
    from cxrscreen.service.security.accounts import add_account, role_named

    password = _password()
    with _open(config, folder) as context:
        with context.database.writing() as session:
            user = add_account(
                session, name, role_named(role), context.now(), password=password, display_name=display_name
            )
        _note(context, "account.added", "account", user.id, given=role)
    _say(f"{user.name} can sign in as {role}.")


@users.command("list")
def list_users(config: Config = None, folder: Folder = None) -> None:
    """List the accounts."""
    from cxrscreen.service.security.accounts import accounts

    table = Table("name", "role", "person", "signs in by", "since", "state")
    with _open(config, folder) as context:
        with context.database.reading() as session:
            for user in accounts(session):
                ways = [("password", user.password_hash), ("provider", user.oidc_subject)]
                table.add_row(
                    user.name,
                    user.role,
                    user.display_name or "",
                    ", ".join(way for way, there in ways if there is not None),
                    f"{user.created_at:%Y-%m-%d}",
                    "open" if user.disabled_at is None else f"shut since {user.disabled_at:%Y-%m-%d}",
                )
        _note(context, "account.listed", "service", None)
    Console().print(table)


@users.command("password")
def password_of_user(name: Name, config: Config = None, folder: Folder = None) -> None:
    """Give an account another password; whoever is signed in with it signs in again."""
    from cxrscreen.service.security.accounts import account_named, set_password

    password = _password()
    with _open(config, folder) as context:
        with context.database.writing() as session:
            user = account_named(session, name)
            set_password(session, user, password, context.now())
        _note(context, "account.password_given", "account", user.id)
    _say(f"{user.name} has another password.")


@users.command("role")
def role_of_user(
    name: Name,
    role: Annotated[RoleName, typer.Argument(help="viewer, reader or admin.")],
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Give an account another role."""
    from cxrscreen.service.security.accounts import account_named, role_named, set_role

    with _open(config, folder) as context:
        with context.database.writing() as session:
            user = account_named(session, name)
            set_role(session, user, role_named(role))
        _note(context, "account.changed", "account", user.id, given={"role": role})
    _say(f"{user.name} is now {role}.")


@users.command("disable")
def disable_user(name: Name, config: Config = None, folder: Folder = None) -> None:
    """Shut an account: its sessions end and its tokens do nothing; what it did stays in the audit log."""
    from cxrscreen.service.security.accounts import account_named, disable

    with _open(config, folder) as context:
        with context.database.writing() as session:
            user = account_named(session, name)
            disable(session, user, context.now())
        _note(context, "account.changed", "account", user.id, given={"disabled": True})
    _say(f"{user.name} is shut.")


@users.command("enable")
def enable_user(name: Name, config: Config = None, folder: Folder = None) -> None:
    """Open an account again."""
    from cxrscreen.service.security.accounts import account_named, enable

    with _open(config, folder) as context:
        with context.database.writing() as session:
            user = account_named(session, name)
            enable(user)
        _note(context, "account.changed", "account", user.id, given={"disabled": False})
    _say(f"{user.name} is open.")


@tokens.command("add")
def add_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, for example the modality's name.")],
    role: Role,
    days: Annotated[
        float,
        typer.Option(help="How long it is good for; 0: until it is revoked.", min=0, max=MOST_DAYS),
    ] = 90,
    owner: Annotated[str | None, typer.Option(help="Account whose token it is. None: the service's own.")] = None,
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Make a token; it is shown once, on the standard output."""
    from cxrscreen.service.security.accounts import account_named, role_named
    from cxrscreen.service.security.tokens import make_token

    with _open(config, folder) as context:
        with context.database.writing() as session:
            user = None if owner is None else account_named(session, owner)
            made = make_token(session, name, role_named(role), context.now(), owner=user, days=days or None)
        _note(context, "token.made", "token", made.token_id, given=role)
    _say("Send it as 'Authorization: Bearer ...'; it is not shown again:")
    Console(highlight=False, soft_wrap=True).print(made.key, markup=False)


@tokens.command("list")
def list_tokens(config: Config = None, folder: Folder = None) -> None:
    """List the tokens, not their keys."""
    from cxrscreen.service.security.tokens import tokens as every

    table = Table("id", "name", "role", "made", "last used", "good until")
    with _open(config, folder) as context:
        with context.database.reading() as session:
            for token in every(session):
                until = "revoked" if token.revoked_at else f"{token.expires_at:%Y-%m-%d}" if token.expires_at else ""
                used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"
                table.add_row(token.id, token.name, token.role, f"{token.created_at:%Y-%m-%d}", used, until)
        _note(context, "token.listed", "service", None)
    Console().print(table)


@tokens.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Make a token worthless."""
    from cxrscreen.service.security.tokens import revoke_token

    with _open(config, folder) as context:
        with context.database.writing() as session:
            revoke_token(session, token_id, context.now())
        _note(context, "token.revoked", "token", token_id)
    _say("The token is worthless from now on.")


@contextmanager
def _open(config: Config, folder: Folder) -> "Iterator[Context]":
    from cxrscreen.service.context import open_context

    context = open_context(settings_for(config, folder=folder))
    try:
        yield context
    finally:
        context.close()


def _note(context: "Context", action: str, target: "Target", target_id: str | None, **details: Any) -> None:
    from cxrscreen.service.security.console import console_principal
    from cxrscreen.service.store.audit import record

    record(context, console_principal(), action, target, target_id, **details)


def _password() -> str:
    """Ask twice at a terminal, else take the first line of the standard input; an argument could be seen by others."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != first:
        raise CxrscreenError("The two passwords differ; begin again.")
    return first


def _say(sentence: str) -> None:
    Console(stderr=True, highlight=False).print(sentence, soft_wrap=True, markup=False)
