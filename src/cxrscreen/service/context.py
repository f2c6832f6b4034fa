"""What every route and every worker works with: the settings, the database and the files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from cxrscreen.imaging.limits import ReadLimits
from cxrscreen.service.settings import Settings
from cxrscreen.service.store.database import Database
from cxrscreen.service.store.files import Files
from cxrscreen.service.store.upgrade import upgrade


@dataclass(frozen=True)
class Context:
    """The parts of an open service.

    Parameters
    ----------
    settings
        As they were when it was opened.
    database, files
        The store.
    now
        The clock, with a zone.
    """

    settings: Settings
    database: Database
    files: Files
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    @property
    def limits(self) -> ReadLimits:
        """Bounds of an image."""
        return ReadLimits(max_pixels=self.settings.max_pixels, max_bytes=self.settings.max_file_bytes)

    def close(self) -> None:
        """Close the database's connections."""
        self.database.close()


def open_context(settings: Settings) -> Context:
    """Open the store, make what is missing and bring the database up to date.

    Raises
    ------
    FilesError, DatabaseError
        If the folder or the database cannot be used.
    """
    files = Files(settings.folder / "files")
    database = Database(settings.database_url)
    upgrade(database)
    return Context(settings, database, files)


def _context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Here = Annotated[Context, Depends(_context_of)]
"""The service, as an argument of a route."""
