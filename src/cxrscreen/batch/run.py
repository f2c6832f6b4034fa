"""A batch: files in, one JSON line and one folder for each, and a page over all."""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO, TypeVar

from cxrscreen.batch.folders import RECORDS_FILE, REPORT_FILE, FolderNames
from cxrscreen.errors import CxrscreenError
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.folder import Thumbnail, write_folder
from cxrscreen.report.page import Details, Report
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.report.wording import shown_name
from cxrscreen.systems.contract import Policy, Screening, System
from cxrscreen.systems.triage import TriagePolicy

if sys.platform != "win32":
    import fcntl

_LOG = logging.getLogger(__name__)
_READ_AHEAD: Final = 2
_WRITES_BEHIND: Final = 2
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class OutputError(CxrscreenError):
    """An output folder that cannot be used."""


@dataclass(frozen=True)
class BatchResult:
    """What a batch came to.

    Parameters
    ----------
    screened, refused, failed
        Numbers of files; those refused by the gate were read and looked at, and got no probability.
    records, report
        The JSON lines and the page.
    """

    screened: int
    refused: int
    failed: int
    records: Path
    report: Path


@dataclass(frozen=True)
class _Read:
    radiograph: Radiograph
    seconds: float


@dataclass(frozen=True)
class _Written:
    path: Path
    record: ScreeningRecord
    folder: str | None = None
    details: Details | None = None


def run_batch(
    files: Sequence[Path],
    system: System,
    out: Path,
    *,
    read: Callable[[Path], Radiograph],
    force: bool = False,
    explain: bool = True,
    policy: Policy = "standard",
    triage: TriagePolicy | None = None,
    on_record: Callable[[ScreeningRecord], None] | None = None,
) -> BatchResult:
    """Screen files one after another; the next are read and the last are written meanwhile.

    A file that fails, or that the gate refuses, is recorded with its reason and the batch goes on. Each record is on
    disk (appended to ``screenings.jsonl``, in the order of the files) as soon as its pictures are, so that a kill loses
    nothing that was done; an interrupt also leaves the page over what was done. At most five radiographs are in memory.

    Parameters
    ----------
    files
        The files; each is read once.
    system
        The loaded system.
    out
        The output folder, made where missing; the records and the page of an earlier run in it are replaced.
    read
        Makes a radiograph of a file.
    force
        Ask every decision even where an earlier one makes it needless, also of what the gate refuses.
    explain
        Make the saliency maps.
    policy
        Which of the gate's codes refuse.
    triage
        Makes the suggestion for the order of work; None: the package's.
    on_record
        Called with each record after it is on disk, in the order of the files.

    Returns
    -------
    BatchResult
        Counts and paths.

    Raises
    ------
    OutputError
        If the output folder cannot be written, or another run is writing to it.
    """
    check_writable(out)
    names = FolderNames(out)
    report = Report(system.bundle_id)
    counts = {"screened": 0, "refused": 0, "failed": 0}

    def done(written: _Written, records: TextIO) -> None:
        records.write(written.record.line() + "\n")
        records.flush()
        report.add(written.path, written.record, written.folder, written.details)
        counts[written.record.status] += 1
        if on_record is not None:
            on_record(written.record)

    def results(readers: Executor, writers: Executor) -> Iterator[Future[_Written]]:
        for path, reading in _ahead(readers, lambda path: _timed_read(read, path), files):
            name = names.give(path)
            try:
                radiograph = reading.result()
                screening = system.screen(radiograph.radiograph, force=force, explain=explain, policy=policy)
            except Exception as error:
                yield writers.submit(_Written, path, _failure(path, error, system.bundle_id))
            else:
                yield writers.submit(_write, path, out, name, radiograph, screening, triage)

    try:
        with (
            _new_records(out) as records,
            ThreadPoolExecutor(_READ_AHEAD, "read") as readers,
            ThreadPoolExecutor(_WRITES_BEHIND, "write") as writers,
        ):
            pending: deque[Future[_Written]] = deque()
            try:
                for future in results(readers, writers):
                    pending.append(future)
                    while len(pending) > _WRITES_BEHIND or (pending and pending[0].done()):
                        done(pending.popleft().result(), records)
            finally:
                readers.shutdown(wait=False, cancel_futures=True)
                while pending:
                    done(pending.popleft().result(), records)
                report.write(out / REPORT_FILE)
    except OSError as error:
        raise OutputError(f"The results could not be written to {str(out)!r} ({error.strerror}).") from error
    return BatchResult(**counts, records=out / RECORDS_FILE, report=out / REPORT_FILE)


def check_writable(out: Path) -> None:
    """Make the output folder where missing and try to write in it.

    Raises
    ------
    OutputError
        If that is not possible.
    """
    trial = out / f"{RECORDS_FILE}.part"
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OutputError(
            f"The output folder {str(out)!r} cannot be written ({error.strerror}); choose another with --out."
        ) from error


@contextmanager
def _new_records(out: Path) -> Iterator[TextIO]:
    """Open the records for one run alone; those of an earlier run are emptied once it is known to be over."""
    with (out / RECORDS_FILE).open("a", encoding="utf-8") as records:
        if sys.platform != "win32":
            try:
                fcntl.flock(records, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"Another run is writing to {str(out)!r}; wait for its end or choose another folder with --out."
                ) from error
            except OSError:
                _LOG.debug("the file system of the output folder has no locks")
        records.truncate(0)
        yield records


def _ahead(
    pool: Executor, work: Callable[[_Item], _Result], items: Iterable[_Item]
) -> Iterator[tuple[_Item, Future[_Result]]]:
    """Yield each item with its future, in order, with at most ``_READ_AHEAD`` items begun beyond the one yielded."""
    begun: deque[tuple[_Item, Future[_Result]]] = deque()
    for item in items:
        begun.append((item, pool.submit(work, item)))
        if len(begun) > _READ_AHEAD:
            yield begun.popleft()
    while begun:
        yield begun.popleft()


def _timed_read(read: Callable[[Path], Radiograph], path: Path) -> _Read:
    start = time.perf_counter()
    return _Read(read(path), time.perf_counter() - start)


def _write(
    path: Path, out: Path, name: str, radiograph: _Read, screening: Screening, triage: TriagePolicy | None
) -> _Written:
    start = time.perf_counter()
    try:
        thumbnails: tuple[Thumbnail, ...] = write_folder(out / name, radiograph.radiograph, screening)
        record = ScreeningRecord.screened(
            path,
            radiograph.radiograph,
            screening,
            read_seconds=radiograph.seconds,
            write_seconds=time.perf_counter() - start,
            policy=triage,
        )
    except Exception as error:
        return _Written(path, _failure(path, error, screening.bundle))
    details = None if record.status == "refused" else Details(screening.stages, thumbnails)
    return _Written(path, record, name, details)


def _failure(path: Path, error: Exception, bundle: str) -> ScreeningRecord:
    if isinstance(error, CxrscreenError):
        sentence = str(error)
    else:
        # the text of an unexpected error may carry what is in the file, so it is not repeated
        sentence = f"{shown_name(path)} met an unexpected fault ({type(error).__name__}); --debug shows where."
    _LOG.debug("%s failed", shown_name(path), exc_info=error)
    return ScreeningRecord.failed(path, sentence, bundle)
