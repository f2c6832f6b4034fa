"""``cxrscreen audit-log``: who saw or did what on the screening server, checked and written out."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

import re
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.serve import Config, Folder, settings_for
from cxrscreen.errors import CxrscreenError

audit_log = typer.Typer(
    name="audit-log",
    help="Check the screening server's audit log, or write it out.",
    no_args_is_help=True,
    epilog=RESEARCH_USE,
)


@audit_log.command()
def check(
    kept: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER:DIGEST", help="What an earlier check told: shows whether the log was redone since."
        ),
    ] = None,
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Go through the chain of digests; exit code 1 if an event was changed, removed or put in.

    Write down what it tells, somewhere that the server's administrators cannot change, and give it to the next check:
    without that, nobody can tell a log that was computed anew, or cut off at its end, from one that is whole.
    """
    from cxrscreen.service.context import open_context
    from cxrscreen.service.security import audit_log as log
    from cxrscreen.service.security.console import console_principal
    from cxrscreen.service.store.audit import record

    anchor = _anchor(kept)
    with closing(open_context(settings_for(config, folder=folder))) as context:
        with context.database.reading() as session:
            found, holds = log.check(session, anchor)
        whole = found.broken_at is None and holds
        record(context, console_principal(), "audit_log.checked", "audit_log", None, whole=whole)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if found.broken_at is not None:
        console.print(f"[red]Event {found.broken_at} is not as it was written, or one before it is missing.[/red]")
    if not holds:
        console.print("[red]The event that was kept is not there: the log was redone or cut off since.[/red]")
    if not whole:
        raise typer.Exit(1)
    console.print(f"The log is whole: {found.events} events. Keep for the next check:")
    Console(highlight=False, soft_wrap=True).print(f"{found.events}:{found.head}")


@audit_log.command()
def export(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: the standard output.")] = None,
    since: Annotated[datetime | None, typer.Option(help="From this moment on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this moment (UTC).")] = None,
    actor: Annotated[str | None, typer.Option(help="What this account or token did.")] = None,
    study: Annotated[str | None, typer.Option(metavar="ID", help="What was done with this study.")] = None,
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Write events as lines of JSON, the earliest first."""
    from cxrscreen.service.context import open_context
    from cxrscreen.service.security import audit_log as log
    from cxrscreen.service.security.console import console_principal
    from cxrscreen.service.store.audit import record

    wanted = log.Filter(
        actor=actor,
        target_kind=None if study is None else "study",
        target_id=study,
        since=None if since is None else since.replace(tzinfo=UTC),
        until=None if until is None else until.replace(tzinfo=UTC),
    )
    with closing(open_context(settings_for(config, folder=folder))) as context:
        record(context, console_principal(), "audit_log.exported", "audit_log", None)
        with context.database.reading() as session:
            lines = log.exported(session, wanted)
            if out is None:
                sys.stdout.writelines(lines)
                return
            try:
                with out.open("x", encoding="utf-8") as target:
                    target.writelines(lines)
            except OSError as error:
                raise CxrscreenError(
                    f"{out.name} cannot be written ({error.strerror}); choose another name."
                ) from error


def _anchor(kept: str | None) -> tuple[int, str] | None:
    if kept is None:
        return None
    match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", kept.strip())
    if match is None:
        raise CxrscreenError("What was kept has the form NUMBER:DIGEST, as an earlier check told it; copy it whole.")
    return int(match[1]), match[2]
