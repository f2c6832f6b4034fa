"""The node at work: instances are received, screened study by study, and their results sent on."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cxrscreen.dicom_node.durable import sync_folder, write_durably
from cxrscreen.dicom_node.instance import NOT_DEIDENTIFIED, NotTakenError
from cxrscreen.dicom_node.outbox import AWAITING, PENDING, FolderOutbox
from cxrscreen.dicom_node.scp import CallingPeer, Commitment, Node
from cxrscreen.dicom_node.sender import Sender
from cxrscreen.dicom_node.settings import NodeSettings, Peer
from cxrscreen.dicom_node.spool import Spool, Waiting
from cxrscreen.errors import CxrscreenError, OutOfMemoryError, UnreachableImageError
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.dicom.objects import dicom_objects, ratio_of, write_objects
from cxrscreen.report.fhir import screening_bundle, taken_at
from cxrscreen.report.folder import write_folder
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.systems.contract import Screening

if sys.platform != "win32":
    import fcntl

_LOG = logging.getLogger(__name__)
RESULTS: Final = "results"
OUTBOX: Final = "outbox"
LOCK: Final = "node.lock"
RETRY_SECONDS: Final = 5.0
ATTEMPTS: Final = 3
"""An instance whose screening ended the process, or filled its memory, so often is set aside: it would for ever."""


class ListenError(CxrscreenError):
    """A folder that the node cannot use."""


@dataclass(frozen=True, eq=False)
class Screened:
    """One radiograph and its result.

    Parameters
    ----------
    radiograph, screening
        What was read and what was found.
    """

    radiograph: Radiograph
    screening: Screening


Screen = Callable[[Path], Screened]
"""Reads and screens one file; raises `CxrscreenError` for one that cannot be."""
Deidentify = Callable[[bytes], bytes]
"""Takes names and numbers out of a DICOM file; raises `CxrscreenError` for one of which it cannot."""


def listen(
    settings: NodeSettings,
    root: Path,
    screen: Screen | None,
    stop: threading.Event,
    *,
    started: Callable[[int], None] | None = None,
    on_record: Callable[[ScreeningRecord], None] | None = None,
    deidentify: Deidentify | None = None,
    warn: Callable[[str], None] = _LOG.warning,
    poll_seconds: float = 0.5,
) -> None:
    """Run the node until it is told to stop.

    What was received is in ``root/received`` before it is acknowledged. Once its study is quiet, each instance is
    screened, its results are written to ``root/results/<study>_<instance>`` and put into the outbox of every peer, and
    only then is it moved to ``root/screened``. A kill anywhere repeats at most the last instance, whose results have
    the same UIDs and are sent once.

    Parameters
    ----------
    settings
        The node and its peers.
    root
        The folder; made where missing.
    screen
        None: instances are received and kept, nothing more.
    stop
        Ends it after the instance at work.
    started
        Called with the port once callers are taken.
    on_record
        Called with the record of each instance; what it raises ends nothing.
    deidentify
        Applied to what comes, before anything of it is on disk; None: it is kept as it was sent.
    warn
        Called at the start with a sentence for each peer that is no longer named and for which results wait.
    poll_seconds
        How often to look for quiet studies.

    Raises
    ------
    ListenError
        If the folder cannot be used, or another node uses it.
    NodeSettingsError
        If the node cannot listen.
    """
    with _alone(root), ExitStack() as running:
        spool = Spool(root)
        (root / RESULTS).mkdir(exist_ok=True)
        for sentence in stranded(root, settings.peers):
            warn(sentence)
        outboxes = {peer.name: FolderOutbox(root / OUTBOX / peer.name) for peer in settings.peers}
        wake = {peer.name: threading.Event() for peer in settings.peers}

        def committed(answer: Commitment) -> None:
            if not any(outbox.committed(answer) for outbox in outboxes.values()):
                _LOG.warning("an answer of storage commitment belongs to no request")

        def received(content: bytes, caller: CallingPeer) -> None:
            spool.received(content if deidentify is None else _deidentified(content, deidentify), caller)

        node = running.enter_context(
            Node(settings, received, committed if any(peer.commitment for peer in settings.peers) else None)
        )
        for peer in settings.peers:
            sender = Sender(settings.ae_title, peer, outboxes[peer.name], wake[peer.name])
            thread = threading.Thread(target=sender.run, args=(stop,), name=f"send-{peer.name}", daemon=True)
            thread.start()
            running.callback(thread.join, 10.0)
            running.callback(wake[peer.name].set)
        # Unwound last to first: whatever ends the loop ends the senders before they are waited for.
        running.callback(stop.set)
        if started is not None:
            started(node.port)
        while not stop.is_set():
            try:
                ready = () if screen is None else spool.complete(settings.study_quiet_seconds)
            except OSError as error:
                # A network share that is away for a moment ends no node.
                _LOG.error("the folder of received instances could not be listed (%s)", error.strerror)
                stop.wait(RETRY_SECONDS)
                continue
            for waiting in ready:
                if stop.is_set() or screen is None:
                    break
                try:
                    record = screen_one(waiting, spool, root / RESULTS, screen, tuple(outboxes.values()))
                except (OSError, MemoryError, CxrscreenError) as error:
                    # The instance stays where it is, and its turn comes again; those behind it do not wait for it.
                    _LOG.error("an instance or its result could not be read or written (%s)", type(error).__name__)
                    if not isinstance(error, MemoryError | OutOfMemoryError):
                        # The disk is full or gone, which is not the instance's fault.
                        _forget(spool, waiting)
                    stop.wait(RETRY_SECONDS)
                    continue
                for event in wake.values():
                    event.set()
                _tell(record, on_record)
            if not ready:
                stop.wait(poll_seconds)


def screen_one(
    waiting: Waiting, spool: Spool, results: Path, screen: Screen, outboxes: tuple[FolderOutbox, ...]
) -> ScreeningRecord:
    """Screen one received instance, write its results, put them into the outboxes, and mark it as done.

    An instance that cannot be screened is set aside with its reason, and the record holds the reason.

    Raises
    ------
    OSError, MemoryError, CxrscreenError
        If the instance cannot be read or a result cannot be written, because disk or memory fail; the instance stays
        where it is.
    """
    path = waiting.path
    if spool.begin(waiting) > ATTEMPTS:
        reason = f"Its screening ended the process {ATTEMPTS} times or filled the memory; the file may be damaged."
        spool.set_aside(waiting, reason)
        return ScreeningRecord.failed(Path(path.name), reason, "none")
    try:
        found = screen(path)
        record = ScreeningRecord.screened(
            path, found.radiograph, found.screening, read_seconds=0.0, write_seconds=0.0
        ).model_copy(update={"file": path.name})
        objects = dicom_objects(found.screening, found.radiograph)
    except (OSError, MemoryError, UnreachableImageError, OutOfMemoryError):
        raise
    except Exception as error:
        # the text of an unexpected error may carry what is in the file, so it is not repeated
        known = str(error).replace(f"{path.parent}/", "") if isinstance(error, CxrscreenError) else ""
        reason = known or f"It met an unexpected fault ({type(error).__name__})."
        _LOG.warning("an instance was set aside (%s)", type(error).__name__)
        _LOG.debug("an instance was set aside", exc_info=error)
        spool.set_aside(waiting, reason)
        return ScreeningRecord.failed(Path(path.name), reason, "none")
    folder = results / path.stem
    if record.status == "screened":
        write_folder(folder, found.radiograph, found.screening)
    written = write_objects(folder, objects)
    image_uid = found.radiograph.provenance.sop_instance_uid or ""
    bundle = screening_bundle(
        found.screening,
        study_uid=waiting.study_instance_uid,
        image_uid=image_uid,
        taken=taken_at(found.radiograph),
        cardiothoracic_ratio=ratio_of(found.screening),
    )
    write_durably(folder / "fhir.json", json.dumps(bundle).encode())
    write_durably(folder / "record.json", f"{record.line()}\n".encode())
    sync_folder(results)
    for outbox in outboxes:
        for order, result in enumerate(written):
            outbox.put(result, order)
    spool.done(waiting)
    return record


def stranded(root: Path, peers: Sequence[Peer]) -> list[str]:
    """Say which results wait for a peer that is not among these, and what to do; a sentence for each such peer.

    A peer of the command line has its address in its name, so that the same archive at a new address is another peer.
    """
    sentences = []
    named = {peer.name for peer in peers}
    for folder in sorted((root / OUTBOX).glob("*")):
        waiting = [*folder.glob(f"{PENDING}/*.dcm"), *folder.glob(f"{AWAITING}/*/*.dcm")]
        if folder.name not in named and waiting:
            count = "1 result waits" if len(waiting) == 1 else f"{len(waiting)} results wait"
            sentences.append(
                f"{count} for {folder.name}, which is no longer a peer: name it again, or give another peer this "
                f"name (in the file of --config), or, while the node is stopped, move the .dcm files of {PENDING} and "
                f"{AWAITING} in {OUTBOX}/{folder.name} to {OUTBOX}/NAME/{PENDING} of another peer."
            )
    return sentences


def _tell(record: ScreeningRecord, on_record: Callable[[ScreeningRecord], None] | None) -> None:
    try:
        if on_record is not None:
            on_record(record)
    except Exception as error:
        # A terminal that was closed, say; the instance has its result.
        _LOG.error("a record could not be shown (%s)", type(error).__name__)


def _forget(spool: Spool, waiting: Waiting) -> None:
    try:
        spool.forget(waiting)
    except OSError:
        # The disk that is gone holds the note too; at worst the instance has one turn less.
        _LOG.warning("a note of what was begun could not be removed")


def _deidentified(content: bytes, deidentify: Deidentify) -> bytes:
    try:
        return deidentify(content)
    except CxrscreenError as error:
        raise NotTakenError(NOT_DEIDENTIFIED, "It cannot be de-identified, or says that text is burned in") from error


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the folder for one node."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / LOCK).open("a")
    except OSError as error:
        raise ListenError(f"The folder {root.name!r} cannot be used ({error.strerror}); choose another.") from error
    with lock:
        if sys.platform != "win32":
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ListenError(f"Another node uses the folder {root.name!r}; stop it or choose another.") from error
        yield
