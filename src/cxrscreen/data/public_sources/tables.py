"""Publishers' tables and files, with one sentence where they are not as expected."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cxrscreen.data.public_sources.gathering import SourceError
from cxrscreen.data.test_history import read_table
from cxrscreen.errors import ManifestError


def read_published(file: Path, columns: Iterable[str], *, sep: str = ",", comment: str | None = None) -> pd.DataFrame:
    """Read a publisher's table as text, blanks trimmed.

    Parameters
    ----------
    file
        The table.
    columns
        Those that must be there.
    sep
        What separates columns.
    comment
        What starts a line that is none of the table.

    Raises
    ------
    SourceError
        If the table is missing or unreadable, or lacks a column.
    """
    if not file.is_file():
        raise SourceError(f"There is no {file.name} in {file.parent.name!r}: fetch it, it belongs to the data set.")
    try:
        return read_table(file, tuple(columns), sep=sep, comment=comment)
    except ManifestError as error:
        # What is to be done differs: nobody is to correct a publisher's table.
        wrong = str(error).rpartition(": ")[0]
        raise SourceError(f"{wrong}: fetch the publisher's own again, unchanged.") from error


def rows_of(table: pd.DataFrame) -> list[dict[str, str]]:
    """Rows of a table of text, each by column."""
    return [{str(column): str(value) for column, value in row.items()} for row in table.to_dict("records")]


def files_by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files anywhere below a folder, by their name without the suffix; the first of a name in order of paths.

    Parameters
    ----------
    folder
        Where to look.
    suffixes
        With the dot, in lower case; files of others are passed over.
    """
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in suffixes:
            found.setdefault(file.stem, file)
    return found


def text_of(file: Path) -> str:
    """Content of a small text file, whatever its encoding; empty where there is no such file."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
