"""``cxrscreen database``: what is done with the server's data while it runs or stands still."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.serve import Config, Folder, settings_for

if TYPE_CHECKING:
    from cxrscreen.service.context import Context

MOST_DAYS: Final = 36500
"""A century; some time beyond it the calendar ends."""

database = typer.Typer(
    name="database",
    help="Bring the server's database up to date, delete old studies, back up and restore.",
    no_args_is_help=True,
    epilog=RESEARCH_USE,
)


@database.command()
def upgrade(config: Config = None, folder: Folder = None) -> None:
    """Bring the tables up to this version's state; serving does it too."""
    from cxrscreen.service.store.upgrade import current_revision

    with _open(config, folder) as context:
        _say(f"The tables are at revision {current_revision(context.database)}, as this version needs them.")


@database.command()
def purge(
    days: Annotated[
        float,
        typer.Option(
            help="Delete studies that came in more than so many days ago.",
            min=0.0,
            max=MOST_DAYS,
        ),
    ],
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Delete old studies with all that belongs to them, for good, and files that nobody needs."""
    from cxrscreen.service.housekeeping import purge as delete_old
    from cxrscreen.service.housekeeping import sweep

    with _open(config, folder) as context:
        deleted = delete_old(context, days)
        _say(f"{deleted} studies deleted, {sweep(context)} files removed that nobody needed.")


@database.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, for example monday.tar.gz.")],
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Write all rows and files into one archive; the server may go on. It holds patient data: keep it safe."""
    from cxrscreen.service.backup import back_up

    with _open(config, folder) as context:
        counts = back_up(context, target)
    _say(f"{counts['studies']} studies, {counts['results']} results and {counts['files']} files written.")


@database.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What backup wrote.")],
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Put a backup into an empty server: a new folder, an empty database; also from SQLite into PostgreSQL."""
    from cxrscreen.service.backup import restore as put_back

    with _open(config, folder) as context:
        counts = put_back(context, source)
    _say(f"{counts['studies']} studies, {counts['results']} results and {counts['files']} files restored.")


@contextmanager
def _open(config: Path | None, folder: Path | None) -> "Iterator[Context]":
    settings = settings_for(config, folder=folder)
    from cxrscreen.service.context import open_context

    context = open_context(settings)
    try:
        yield context
    finally:
        context.close()


def _say(sentence: str) -> None:
    Console(stderr=True, highlight=False).print(sentence, soft_wrap=True)
