"""What an earlier run into the same folder has finished, so that a stopped batch goes on there."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from pydantic import ValidationError

from cxrscreen.batch.folders import CARD_FILE, FINISHED_FILE, RECORDS_FILE
from cxrscreen.report.folder import ResultNotWrittenError, Thumbnail
from cxrscreen.report.page import Details
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.systems.contract import Stage


@dataclass(frozen=True)
class Finished:
    """A file that needs no second screening.

    Parameters
    ----------
    record
        Its line in the records.
    folder
        Name of its result folder; None where none was written.
    place
        Which file it is, from :func:`place_of`.
    stamp
        The file's :func:`stamp_of` when it was read.
    """

    record: ScreeningRecord
    folder: str | None
    place: str
    stamp: str


class Ledger:
    """Notes each file as finished, once its record and its pictures are on disk.

    Parameters
    ----------
    notes
        The open ledger, to which a line is appended for each file.
    """

    def __init__(self, notes: TextIO) -> None:
        self._notes = notes

    def add(self, finished: Finished) -> None:
        """Note one file."""
        note = {name: getattr(finished, name) for name in ("place", "stamp", "folder")}
        self._notes.write(json.dumps({"record": _digest(finished.record.line()), **note}) + "\n")
        self._notes.flush()


def place_of(path: Path) -> str:
    """Tell a file from every other, however it is named: a digest of its real path, which itself may say much."""
    return _digest(os.path.realpath(path))


def stamp_of(path: Path) -> str | None:
    """What changes when a file does: its size and the time of its last change; None where it cannot be asked."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return f"{status.st_size}-{status.st_mtime_ns}"


def header(bundle: str, settings: Mapping[str, Any]) -> str:
    """The first line of a ledger: what results may be put together."""
    return json.dumps({"bundle": bundle, **settings}, sort_keys=True)


def finished_in(out: Path, head: str, files: Sequence[Path]) -> list[Finished] | None:
    """Find which files an earlier run into a folder has finished.

    Parameters
    ----------
    out
        The output folder.
    head
        The :func:`header` of this run.
    files
        What is to be screened.

    Returns
    -------
    list or None
        Those that were screened or refused by a run with this header, have not changed since, and whose result folder
        is there, in the order of the records; those that are not named any more, or not there at the moment, are among
        them, unless their folder is gone. Lines that a kill cut short do not count. None where the folder holds the
        results of a run with another header.
    """
    notes = _lines(out / FINISHED_FILE)
    if next(notes, head) != head:
        return None
    records = {_digest(line): line for line in _lines(out / RECORDS_FILE)}
    named = {place_of(path): path for path in files}
    found = []
    for note in filter(None, map(_parsed, notes)):
        record = _record(records.get(note["record"], ""))
        path = named.get(note["place"])
        # A drive that is not mounted must not cost what was found on it.
        if record is None or (path is not None and stamp_of(path) not in (None, note["stamp"])):
            continue
        if note["folder"] is None or (out / note["folder"]).is_dir():
            found.append(Finished(record, note["folder"], note["place"], note["stamp"]))
    return found


def write_card(folder: Path, details: Details | None) -> None:
    """Keep what the page shows of a radiograph, hidden in its folder; None: nothing, also of an earlier run.

    Raises
    ------
    ResultNotWrittenError
        If that is not possible.
    """
    try:
        if details is None:
            (folder / CARD_FILE).unlink(missing_ok=True)
            return
        content = asdict(details)
        for thumbnail in content["thumbnails"]:
            thumbnail["jpeg"] = base64.b64encode(thumbnail["jpeg"]).decode("ascii")
        (folder / CARD_FILE).write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        raise ResultNotWrittenError(
            f"The result folder {folder.name!r} could not be written ({error.strerror}); check space and rights."
        ) from error


def read_card(folder: Path) -> Details | None:
    """What :func:`write_card` kept; None where it is not there or damaged: the page then has no card for it."""
    try:
        content = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        thumbnails = [
            Thumbnail(**(thumbnail | {"jpeg": base64.b64decode(thumbnail["jpeg"])}))
            for thumbnail in content["thumbnails"]
        ]
        return Details(tuple(Stage(**stage) for stage in content["stages"]), tuple(thumbnails))
    except (OSError, ValueError, TypeError, KeyError):
        return None


_KEYS: Final = {"record", "place", "stamp", "folder"}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            # The last line of a killed run may be half a line.
            yield from (line.rstrip("\n") for line in file if line.endswith("\n"))
    except (FileNotFoundError, UnicodeDecodeError):
        return


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and content.keys() >= _KEYS else None


def _record(line: str) -> ScreeningRecord | None:
    try:
        return ScreeningRecord.from_line(line)
    except ValidationError:
        return None
