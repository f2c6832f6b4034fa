"""Publishers' folders and tables, with one sentence where they are not as expected."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cxrscreen.data.public_sources.gathering import SourceError


def root_of(folder: Path, *markers: str) -> Path:
    """Find the folder that holds a publisher's file: the one given, or one directly below it.

    Parameters
    ----------
    folder
        As given by a person.
    *markers
        Names of a file or folder; glob patterns; any one of them will do.

    Raises
    ------
    SourceError
        If the folder is missing, or holds none of them.
    """
    if not folder.is_dir():
        raise SourceError(f"There is no folder {str(folder)!r}: give the one into which the data set was unpacked.")
    for candidate in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if any(next(candidate.glob(marker), None) is not None for marker in markers):
            return candidate
    raise SourceError(
        f"The folder {folder.name!r} does not hold {' or '.join(markers)}: give the folder into which the data set was "
        "unpacked, with its publisher's names."
    )


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
        with warnings.catch_warnings():
            # Rows that end with one separator more than the header would else become an index.
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            table = pd.read_csv(
                file, sep=sep, dtype=str, keep_default_na=False, encoding="utf-8-sig", comment=comment, index_col=False
            )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SourceError(f"{file.name} is not a readable table: fetch it again, unchanged.") from error
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    lost = [column for column in columns if column not in table.columns]
    if lost:
        raise SourceError(f"{file.name} lacks the column(s) {', '.join(lost)}: fetch the publisher's own, unchanged.")
    return pd.DataFrame({column: table[column].fillna("").str.strip() for column in table.columns})


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
