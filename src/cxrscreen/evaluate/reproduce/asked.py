"""From the name of a table, or ``all``, to files: what the papers' tables share."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from cxrscreen.errors import CxrscreenError
from cxrscreen.evaluate.figures import write_figure
from cxrscreen.evaluate.reproduce.table import Origin, Table, write_table

Made = tuple[Table, Mapping[str, Figure], Origin]
"""A table, its figures by the stem of their files, and where it comes from."""


def write_asked(
    name: str, names: Sequence[str], paper: str, command: str, out: Path, make: Callable[[str, str], Made]
) -> dict[str, Path]:
    """Make and write one table of a paper or all of them, each with the command that gives it alone.

    Parameters
    ----------
    name
        One of ``names``, or ``"all"``.
    names
        What can be asked for, in the order of ``all``.
    paper
        In words, for errors.
    command
        What a reader types to get ``name``.
    out
        Folder for the files, made where missing.
    make
        From a name and its own command to what is written.

    Returns
    -------
    dict
        Path by file name.

    Raises
    ------
    CxrscreenError
        If there is no such table.
    """
    if name != "all" and name not in names:
        raise CxrscreenError(f"There is no table {name!r} of {paper}: use one of {', '.join(names)}, or all.")
    files: list[Path] = []
    for each in names if name == "all" else (name,):
        table, figures, origin = make(each, command.replace(f" {name}", f" {each}", 1))
        files += write_table(table, origin, out).values()
        for stem, figure in figures.items():
            files += write_figure(figure, out, stem)
    return {file.name: file for file in files}
