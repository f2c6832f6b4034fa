"""Names of the result folders: a file's stem, made unique and safe; and which files are results themselves."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cxrscreen.errors import CxrscreenError
from cxrscreen.report.folder import is_result_folder

REPORT_FILE: Final = "report.html"
RECORDS_FILE: Final = "screenings.jsonl"
FINISHED_FILE: Final = ".finished.jsonl"
CARD_FILE: Final = ".card.json"
"""In a radiograph's folder: what the page shows of it, for a run that goes on."""
RUN_FILE: Final = "run.json"
RESULTS: Final = "results"
PICTURES: Final = "pictures"
"""What a batch on Ray writes: what was asked, and the folders of its Parquet files and of its pictures."""
_OWN_FILES: Final = frozenset(
    name + end for name in (REPORT_FILE, RECORDS_FILE, FINISHED_FILE) for end in ("", ".part")
)
_SUFFIXES: Final = (".png", ".jpg")
_ON_RAY: Final = re.compile(
    rf"/({RUN_FILE}|{RESULTS}/status=\w+/[^/]+\.parquet"
    rf"|{PICTURES}/(?P<start>[0-9a-f]{{2}})/(?P=start)[0-9a-f]{{30}}/[^/]+\.(png|jpg))\Z"
)
FHIR_FILE: Final = "fhir.json"
"""Written last of a radiograph's DICOM and FHIR results, so that with the report it marks their folder as ours."""
_DICOM_REPORT: Final = "report.dcm"
_OBJECT: Final = re.compile(r"(image|segmentation|maps|capture-\d+|outlines|report)\.dcm")
_BESIDE_OBJECTS: Final = frozenset({FHIR_FILE, "record.json"})
_IMAGE_SUFFIXES: Final = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
_LONGEST_NAME: Final = 200
"""Bytes of a folder's name; file systems hold 255, and a number may follow."""


class FolderNames:
    """Gives each file its folder name, in the order of asking.

    A name is the file's stem; a second file with that stem gets ``stem-2``, the next ``stem-3``. Stems that differ in
    case alone count as the same, since some file systems hold them so. The names of the batch's own files are taken,
    and so is every name in the output folder that belongs to somebody else: a file, or a folder with content that no
    earlier run wrote.

    Parameters
    ----------
    out
        The output folder; it need not exist.
    reserved
        Names that files have already.
    """

    def __init__(self, out: Path, reserved: Iterable[str] = ()) -> None:
        self._out = out
        self._taken = {name.casefold() for name in (*_OWN_FILES, *reserved)}
        self._numbers: dict[str, int] = {}

    def give(self, path: Path) -> str:
        """Return the folder name for one file."""
        stem = safe_stem(path)
        number = self._numbers.get(stem.casefold(), 1)
        name = stem if number == 1 else f"{stem}-{number}"
        while name.casefold() in self._taken or _is_of_somebody_else(self._out / name):
            number += 1
            name = f"{stem}-{number}"
        self._numbers[stem.casefold()] = number
        self._taken.add(name.casefold())
        return name


def safe_stem(path: Path) -> str:
    """Return the file's stem as the name of one folder inside another, never one that leads out of it.

    Only the suffix of an image is taken off: a file that is named by its UID would lose the UID's last number, and be
    called as its neighbours. Characters that cannot be printed, and path separators of any system, become ``_``; a stem
    of dots alone, as ``...png`` has, becomes ``image``; a stem that is too long for a folder with a number behind it is
    cut.
    """
    name = path.name
    suffix = next((suffix for suffix in _IMAGE_SUFFIXES if name.lower().endswith(suffix)), "")
    stem = name[: len(name) - len(suffix)]
    stem = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in stem)
    stem = stem.encode()[:_LONGEST_NAME].decode(errors="ignore")
    return stem if stem.strip(". ") else "image"


def check_stems_differ(files: Iterable[Path]) -> None:
    """Check that pictures named by :func:`safe_stem` would not write over each other.

    Raises
    ------
    CxrscreenError
        If two files have one stem, also where only its case differs, since some file systems hold those as one.
    """
    seen = set()
    for stem in map(safe_stem, files):
        if stem.casefold() in seen:
            raise CxrscreenError(
                f"Two files are called {stem}, and one picture would write over the other: rename one."
            )
        seen.add(stem.casefold())


def is_earlier_result(path: Path) -> bool:
    """Tell whether a file was written by an earlier run, so that it is no radiograph to screen.

    Parameters
    ----------
    path
        A file; of others the answer is False.
    """
    folder = path.parent
    try:
        if path.name in _OWN_FILES:
            return (folder / RECORDS_FILE).is_file()
        name = path.name.removesuffix(".part")
        if name in _BESIDE_OBJECTS or _OBJECT.fullmatch(name):
            return _holds_objects(folder)
        return (
            (path.suffix in _SUFFIXES or path.name == CARD_FILE)
            and is_result_folder(folder)
            and ((folder.parent / RECORDS_FILE).is_file() or _holds_objects(folder))
        ) or _is_of_ray(path)
    except OSError:
        # What may not be looked at is left to the reader, which says so.
        return False


def remove_stale_objects(folder: Path, written: Iterable[Path]) -> None:
    """Take away the DICOM objects that an earlier run left in its folder and this one did not write.

    Raises
    ------
    OSError
        If one cannot be removed.
    """
    kept = {path.name for path in written}
    for path in folder.iterdir():
        if path.name not in kept and _OBJECT.fullmatch(path.name):
            path.unlink()


def output_on_ray(name: str) -> str | None:
    """Tell by its name alone into which output a batch on Ray would have written a file; None: none would.

    The name is absolute, of a file or an object. The output is one where it holds both ``run.json`` and ``results``.
    """
    found = _ON_RAY.search(name)
    return None if found is None else name[: found.start()]


def _is_of_ray(path: Path) -> bool:
    out = output_on_ray(path.absolute().as_posix())
    return out is not None and Path(f"{out}/{RUN_FILE}").is_file() and Path(f"{out}/{RESULTS}").is_dir()


def _holds_objects(folder: Path) -> bool:
    return (folder / _DICOM_REPORT).exists() and (folder / FHIR_FILE).exists()


def _is_of_somebody_else(place: Path) -> bool:
    try:
        if not place.is_dir():
            return place.exists() or place.is_symlink()
        return not is_result_folder(place) and not _holds_objects(place) and any(place.iterdir())
    except PermissionError:
        return True
