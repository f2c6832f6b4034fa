"""A worker: leases a job, screens the image, writes the result; killed at any moment, it loses and doubles nothing."""

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import parent_process

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from cxrscreen.errors import CxrscreenError, OutOfMemoryError, UnreachableImageError, UnreadableImageError
from cxrscreen.imaging.read import read
from cxrscreen.service import jobs
from cxrscreen.service.context import Context, open_context
from cxrscreen.service.dicom_catalogue import list_unlisted
from cxrscreen.service.dicom_objects import export_once
from cxrscreen.service.jobs import Lease, LeaseLostError
from cxrscreen.service.logs import places_of, set_up_logs
from cxrscreen.service.settings import Settings
from cxrscreen.service.store.files import FilesError
from cxrscreen.service.store.results import write_result
from cxrscreen.systems.contract import System
from cxrscreen.systems.registry import bundle_named, load_system

_LOG = structlog.get_logger(__name__)


@dataclass
class Worker:
    """Takes jobs one after the other.

    Parameters
    ----------
    context
        The store and the settings.
    name
        For people: machine and process.
    load
        Gives the system of a name; called once for each.
    """

    context: Context
    name: str
    load: Callable[[str], System]
    _loaded: dict[str, System] = field(default_factory=dict)

    def system(self, name: str) -> System:
        """Give a system, loaded on first use and kept."""
        if name not in self._loaded:
            self._loaded[name] = self.load(name)
        return self._loaded[name]

    def work_once(self) -> bool:
        """Take one job and end it, whatever comes of it.

        Returns
        -------
        bool
            Whether there was one.
        """
        settings = self.context.settings
        with self.context.database.writing() as session:
            held = jobs.lease(
                session,
                self.name,
                tuple(settings.systems),
                self.context.now(),
                seconds=settings.lease_seconds,
                max_attempts=settings.max_attempts,
            )
        if held is None:
            return False
        with structlog.contextvars.bound_contextvars(job=held.job_id, image=held.image_id):
            try:
                with _heartbeat(self.context, held):
                    self._screen(held)
            except LeaseLostError:
                _LOG.warning("lease lost", attempt=held.attempt)
        return True

    def _screen(self, held: Lease) -> None:
        start = time.perf_counter()
        try:
            system = self.system(held.system)
            radiograph = read(self.context.files.path(held.sha256), limits=self.context.limits)
            read_seconds = time.perf_counter() - start
            screening = system.screen(radiograph, policy=self.context.settings.gate)
            status = write_result(self.context, held, radiograph, screening, read_seconds)
        except LeaseLostError:
            raise
        except (UnreachableImageError, FilesError, OperationalError, OSError) as error:
            self._postponed(held, error)
        except OutOfMemoryError as error:
            self._failed(held, error)
        except UnreadableImageError as error:
            with self.context.database.writing() as session:
                jobs.set_aside(session, held, self._reason(held, error), self.context.now())
            _LOG.info("set aside", attempt=held.attempt)
        except Exception as error:
            self._failed(held, error)
        else:
            _LOG.info("screened", status=status, seconds=round(time.perf_counter() - start, 3))

    def _reason(self, held: Lease, error: Exception) -> str:
        if isinstance(error, CxrscreenError):
            return str(error).replace(str(self.context.files.path(held.sha256)), "The file")
        # The text of an unexpected error may hold what is in the file.
        return f"The screening met an unexpected fault ({type(error).__name__})."

    def _postponed(self, held: Lease, error: Exception) -> None:
        """Keep a job whose storage is away: a folder that is not mounted must not cost every image its screening."""
        if isinstance(error, CxrscreenError):
            reason = self._reason(held, error)
        else:
            reason = f"The disk or the database could not be used ({type(error).__name__})."
        _LOG.error("storage away", error=type(error).__name__, places=places_of(error))
        with self.context.database.writing() as session:
            jobs.postpone(session, held, reason, self.context.now(), wait_seconds=self.context.settings.retry_seconds)

    def _failed(self, held: Lease, error: Exception) -> None:
        settings = self.context.settings
        reason = self._reason(held, error)
        _LOG.error("screening failed", error=type(error).__name__, places=places_of(error), attempt=held.attempt)
        with self.context.database.writing() as session:
            jobs.retry(
                session,
                held,
                reason,
                self.context.now(),
                wait_seconds=settings.retry_seconds,
                max_attempts=settings.max_attempts,
            )


def run_worker(settings: Settings, number: int = 0) -> None:
    """Work until SIGTERM, or until the server that started the process is gone; the image in hand is ended first.

    Parameters
    ----------
    settings
        As of the server.
    number
        Of the worker on this machine, for its name.
    """
    set_up_logs(settings.log_level, settings.log_format)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C reaches every process of the terminal; the server tells its workers to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN if parent_process() is not None else lambda *_: stop.set())
    context = open_context(settings)
    worker = Worker(
        context,
        f"{platform.node()}:{os.getpid()}:{number}",
        lambda name: load_system(bundle_named(settings.systems[name], name), settings.threads),
    )
    for name in settings.used_systems:
        worker.system(name)
    _LOG.info("worker ready", worker=worker.name, systems=list(settings.used_systems))
    try:
        _did(lambda: list_unlisted(context) > 0)
        while not stop.is_set() and not orphaned():
            # Both each time, so that results leave the house although images keep coming.
            if not any((_did(worker.work_once), _did(lambda: export_once(context)))):
                stop.wait(settings.poll_seconds)
    finally:
        context.close()


def _did(work: Callable[[], bool]) -> bool:
    try:
        return work()
    except (SQLAlchemyError, CxrscreenError) as error:
        # The database is away for a while, or its disk is full: the lease runs out, and the job is taken again.
        _LOG.error("no work taken", error=type(error).__name__, places=places_of(error))
        return False


def orphaned() -> bool:
    """Tell whether the server that started this process is gone."""
    parent = parent_process()
    return parent is not None and not parent.is_alive()


@contextmanager
def _heartbeat(context: Context, held: Lease) -> Iterator[None]:
    """Prolong a lease three times in its length, from a thread of its own."""
    done = threading.Event()
    seconds = context.settings.lease_seconds

    def beat() -> None:
        while not done.wait(seconds / 3):
            try:
                with context.database.writing() as session:
                    if not jobs.extend(session, held, context.now(), seconds):
                        return
            except SQLAlchemyError as error:
                _LOG.warning("lease not prolonged", error=type(error).__name__)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
