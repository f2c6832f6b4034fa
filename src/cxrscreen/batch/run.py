"""A batch: files in, one JSON line and one folder for each, and a page over all."""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TextIO

from cxrscreen.batch.budget import MemoryBudget
from cxrscreen.batch.finished import (
    Finished,
    Ledger,
    finished_in,
    header,
    place_of,
    read_card,
    stamp_of,
    write_card,
)
from cxrscreen.batch.folders import FINISHED_FILE, RECORDS_FILE, REPORT_FILE, FolderNames
from cxrscreen.batch.pictures import Pictures, write_pictures
from cxrscreen.errors import CxrscreenError
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.page import Details, Report
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.report.wording import shown_name
from cxrscreen.systems.contract import Policy, System
from cxrscreen.systems.triage import TriagePolicy

if sys.platform != "win32":
    import fcntl

_LOG = logging.getLogger(__name__)
_WAITING: Final = 4
"""Files for each job that may be done out of turn and wait, without their pixels, for an earlier one."""


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
class Options:
    """How a batch is screened; results of other options, or of another bundle, are not put together.

    Parameters
    ----------
    force
        Ask every decision even where an earlier one makes it needless, also of what the gate refuses.
    explain
        Make the saliency maps.
    policy
        Which of the gate's codes refuse.
    pictures
        What pictures are left of each radiograph.
    engine
        What runs the networks, in words.
    """

    force: bool = False
    explain: bool = True
    policy: Policy = "standard"
    pictures: Pictures = "full"
    engine: str = ""


_DEFAULT: Final = Options()


@dataclass(frozen=True)
class _Written:
    path: Path
    record: ScreeningRecord
    stamp: str | None
    folder: str | None = None
    details: Details | None = None


def run_batch(
    files: Sequence[Path],
    system: System,
    out: Path,
    *,
    read: Callable[[Path], Radiograph],
    options: Options = _DEFAULT,
    triage: TriagePolicy | None = None,
    jobs: int = 1,
    memory: int | None = None,
    resume: bool = False,
    on_kept: Callable[[int], None] | None = None,
    on_record: Callable[[ScreeningRecord], None] | None = None,
) -> BatchResult:
    """Screen files, several at the same time: while one is decoded, others are in the networks or being written.

    A file that fails, or that the gate refuses, is recorded with its reason and the batch goes on. Each record is on
    disk (appended to ``screenings.jsonl``, in the order of the files) as soon as its pictures are, so that a kill loses
    nothing that was done; an interrupt also leaves the page over what was done.

    Parameters
    ----------
    files
        The files; each is read once.
    system
        The loaded system; asked from ``jobs`` threads.
    out
        The output folder, made where missing; the records and the page of an earlier run in it are replaced.
    read
        Makes a radiograph of a file.
    options
        What is asked and what is left of it.
    triage
        Makes the suggestion for the order of work; None: the package's.
    jobs
        Files that are worked on at the same time; at most as many radiographs are in memory.
    memory
        Bytes that they may take together, see :class:`~cxrscreen.batch.budget.MemoryBudget`; None: no bound but
        ``jobs``. Program and networks come on top.
    resume
        Keep what an earlier run into ``out`` finished, also of files that are not among ``files``, and screen the
        others, those that failed among them.
    on_kept
        Called once, before the first file, with the number of ``files`` that are kept.
    on_record
        Called with each new record after it is on disk, in the order of the files.

    Returns
    -------
    BatchResult
        Counts and paths, of what was kept too.

    Raises
    ------
    OutputError
        If the output folder cannot be written, another run is writing to it, or it is to be resumed and holds the
        results of another bundle or other options, or no note of what is finished.
    """
    check_writable(out)
    report = Report(system.bundle_id)
    counts = {"screened": 0, "refused": 0, "failed": 0}

    def counted(written: _Written) -> None:
        report.add(written.path, written.record, written.folder, written.details)
        counts[written.record.status] += 1

    def done(written: _Written, records: TextIO, ledger: Ledger) -> None:
        records.write(written.record.line() + "\n")
        records.flush()
        # A file that failed, or is not there, is not noted, so that it is tried again.
        if written.record.status != "failed" and written.stamp is not None:
            ledger.add(Finished(written.record, written.folder, place_of(written.path), written.stamp))
        counted(written)
        if on_record is not None:
            on_record(written.record)

    work = _Work(system, out, read, options, triage, MemoryBudget(memory))
    head = header(
        system.bundle_id, asdict(options) | {"triage": None if triage is None else triage.model_dump(mode="json")}
    )
    try:
        with locked(out / RECORDS_FILE, str(out)):
            kept = _kept(out, head, files) if resume else []
            for finished in kept:
                details = read_card(out / finished.folder) if finished.folder is not None else None
                path = Path(finished.record.file)
                counted(_Written(path, finished.record, finished.stamp, finished.folder, details))
            there = {finished.place for finished in kept}
            left = [path for path in files if place_of(path) not in there]
            if on_kept is not None:
                on_kept(len(files) - len(left))
            names = FolderNames(out, [finished.folder for finished in kept if finished.folder is not None])
            with _opened(out, head, kept) as (records, ledger), ThreadPoolExecutor(jobs, "screen") as workers:
                pending: deque[Future[_Written]] = deque()

                def take_first() -> None:
                    # While it is waited for it stays, so that an interrupt does not lose it.
                    written = pending[0].result()
                    pending.popleft()
                    done(written, records, ledger)

                try:
                    for path in left:
                        pending.append(workers.submit(work, path, names.give(path)))
                        while len(pending) >= _WAITING * jobs or (pending and pending[0].done()):
                            take_first()
                    while pending:
                        take_first()
                finally:
                    workers.shutdown(wait=False, cancel_futures=True)
                    for future in pending:
                        with suppress(CancelledError):
                            done(future.result(), records, ledger)
                    report.write(out / REPORT_FILE)
    except OSError as error:
        raise OutputError(f"The results could not be written to {str(out)!r} ({error.strerror}).") from error
    return BatchResult(**counts, records=out / RECORDS_FILE, report=out / REPORT_FILE)


@dataclass(frozen=True)
class _Work:
    """One file from its bytes to its pictures, in one thread."""

    system: System
    out: Path
    read: Callable[[Path], Radiograph]
    options: Options
    triage: TriagePolicy | None
    budget: MemoryBudget

    def __call__(self, path: Path, name: str) -> _Written:
        stamp = stamp_of(path)
        try:
            start = time.perf_counter()
            radiograph = self.read(path)
            read_seconds = time.perf_counter() - start
            with self.budget.held_for(radiograph.pixels.size):
                return self._screened(path, stamp, name, radiograph, read_seconds)
        except Exception as error:
            return _Written(path, _failure(path, error, self.system.bundle_id), stamp)

    def _screened(
        self, path: Path, stamp: str | None, name: str, radiograph: Radiograph, read_seconds: float
    ) -> _Written:
        options = self.options
        screening = self.system.screen(radiograph, force=options.force, explain=options.explain, policy=options.policy)
        start = time.perf_counter()
        folder = None if options.pictures == "none" else name
        thumbnails = write_pictures(self.out / name, radiograph, screening, options.pictures)
        details = None
        if folder is not None:
            details = Details(screening.stages, thumbnails) if screening.status == "screened" else None
            write_card(self.out / folder, details)
        record = ScreeningRecord.screened(
            path,
            radiograph,
            screening,
            read_seconds=read_seconds,
            write_seconds=time.perf_counter() - start,
            policy=self.triage,
        )
        return _Written(path, record, stamp, folder, details)


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
def locked(file: Path, out: str) -> Iterator[None]:
    """Hold an output for one run alone; nothing of an earlier run is touched before that run is known to be over.

    Parameters
    ----------
    file
        What is locked, made where missing; where the file system has no locks, nothing is.
    out
        The output, as it is named in the error.

    Raises
    ------
    OutputError
        If another run holds it.
    """
    with file.open("a", encoding="utf-8") as held:
        if sys.platform != "win32":
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"Another run is writing to {out!r}; wait for its end or choose another folder with --out."
                ) from error
            except OSError:
                _LOG.debug("the file system of the output folder has no locks")
        yield


def reason_of(error: Exception, name: str, remedy: str) -> str:
    """Say in one sentence why a file failed; the text of an unexpected error may carry what is in it: not repeated."""
    if isinstance(error, CxrscreenError):
        return str(error)
    return f"{name} met an unexpected fault ({type(error).__name__}); {remedy}."


def _kept(out: Path, head: str, files: Sequence[Path]) -> list[Finished]:
    if (out / RECORDS_FILE).stat().st_size and not (out / FINISHED_FILE).exists():
        raise OutputError(
            f"The results in {str(out)!r} lack {FINISHED_FILE}, which says what is finished: bring it back, or choose "
            "another folder with --out."
        )
    kept = finished_in(out, head, files)
    if kept is None:
        raise OutputError(
            f"The results in {str(out)!r} are of another bundle or other options: resume with those, or choose another "
            "folder with --out."
        )
    return kept


@contextmanager
def _opened(out: Path, head: str, kept: Sequence[Finished]) -> Iterator[tuple[TextIO, Ledger]]:
    """Open the records and the ledger with what is kept in them, and nothing else.

    The new ledger takes the old one's place after the records are rewritten, and names each record by its digest:
    whatever is cut short by a kill, a file that it notes has its record. The records keep their inode, which is locked.
    """
    text = "".join(finished.record.line() + "\n" for finished in kept)
    notes = (out / FINISHED_FILE).with_name(FINISHED_FILE + ".part")
    with notes.open("w", encoding="utf-8") as written:
        written.write(head + "\n")
        ledger = Ledger(written)
        for finished in kept:
            ledger.add(finished)
        # The lines are ASCII, so that characters are bytes; what else may be in the file is overwritten.
        with (out / RECORDS_FILE).open("r+", encoding="ascii", errors="surrogateescape") as records:
            # Where only a cut line follows, nothing is rewritten.
            if not records.read().startswith(text):
                records.seek(0)
                records.write(text)
                records.flush()
            records.truncate(len(text))
            records.seek(len(text))
            notes.replace(out / FINISHED_FILE)
            yield records, ledger


def _failure(path: Path, error: Exception, bundle: str) -> ScreeningRecord:
    _LOG.debug("%s failed", shown_name(path), exc_info=error)
    return ScreeningRecord.failed(path, reason_of(error, shown_name(path), "--debug shows where"), bundle)
