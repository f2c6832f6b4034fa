"""From what a person names (files, folders, globs) to the files to read."""

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def find_images(paths: Iterable[Path | str]) -> list[Path]:
    """List the files to read, in a deterministic order, so that nothing named is lost in silence.

    A file is kept whatever it holds, and a name that matches nothing is kept too: reading either gives a reason. A
    folder gives every file below it, in order of name, links followed; only hidden files and folders (names that start
    with a dot) are left out. A folder that holds no file, or cannot be listed, is kept itself, so that it is reported.

    Parameters
    ----------
    paths
        Files, folders or glob patterns (``*``, ``?``, ``[...]``, ``**``).

    Returns
    -------
    list of Path
        Each file once, in the order named.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for match in _matches(Path(path)):
            for file in _files(match):
                found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _matches(path: Path) -> list[Path]:
    if _is(stat.S_IFMT, path) or not glob.has_magic(str(path)):
        return [path]
    return [Path(match) for match in sorted(glob.glob(str(path), recursive=True))] or [path]  # noqa: PTH207


def _files(path: Path) -> Iterator[Path]:
    if not _is(stat.S_ISDIR, path):
        yield path
        return
    empty = True
    for file in _walk(path, set()):
        empty = False
        yield file
    if empty:
        yield path


def _walk(folder: Path, entered: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in entered:
        return
    entered.add(real)
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is(stat.S_ISDIR, entry):
            yield from _walk(entry, entered)
        else:
            yield entry


def _is(kind: Callable[[int], int | bool], path: Path) -> bool:
    """Ask for the kind of what a path names; pathlib raises where it may not be asked, this says no."""
    try:
        return bool(kind(path.stat().st_mode))
    except (OSError, ValueError):
        return False
