"""Names of the result folders: a file's stem, made unique and safe."""

from pathlib import Path
from typing import Final

REPORT_FILE: Final = "report.html"
RECORDS_FILE: Final = "screenings.jsonl"


class FolderNames:
    """Gives each file its folder name, in the order of asking.

    A name is the file's stem; a second file with that stem gets ``stem-2``, the next ``stem-3``. Stems that differ in
    case alone count as the same, since some file systems hold them so. The names of the batch's own files are taken.
    """

    def __init__(self) -> None:
        self._taken = {name.casefold() for name in (REPORT_FILE, f"{REPORT_FILE}.part", RECORDS_FILE)}

    def give(self, path: Path) -> str:
        """Return the folder name for one file."""
        stem = safe_stem(path)
        name, number = stem, 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name.casefold())
        return name


def safe_stem(path: Path) -> str:
    """Return the file's stem as the name of one folder inside another, never one that leads out of it.

    Characters that cannot be printed, and path separators of any system, become ``_``; a stem of dots alone, as
    ``...png`` has, becomes ``image``.
    """
    stem = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in path.stem)
    return stem if stem.strip(". ") else "image"
