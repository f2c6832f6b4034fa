"""Results on their way to one peer: a folder whose subfolders are the states, moved on by a rename."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import pydicom

from cxrscreen.dicom_node.backoff import LONGEST_WAIT, backoff, patience
from cxrscreen.dicom_node.durable import move_durably, remove_parts, sync_folder, write_durably
from cxrscreen.dicom_node.instance import is_uid
from cxrscreen.dicom_node.scp import Commitment
from cxrscreen.imaging.silence import without_warnings

_LOG = logging.getLogger(__name__)
PENDING: Final = "pending"
AWAITING: Final = "awaiting-commitment"
SENT: Final = "sent"
REFUSED: Final = "refused"
NOT_KEPT: Final = "The peer did not commit itself to it."
NOT_ANSWERED: Final = "The peer did not answer the request to commit itself to it."
SILENCES: Final = 10
"""What a peer was asked for so often in vain is given up: after about a week, where the first wait is an hour."""
NEVER_ANSWERED: Final = (
    f"The peer took it, but answered none of {SILENCES} requests to commit itself to it; see whether it can call here."
)
_REMEMBERED: Final = 2 * SILENCES
"""Requests without an answer of which a late one is still known."""


class Outbox(Protocol):
    """What a sender asks of the place where results wait; a folder here, it may be a database elsewhere."""

    def pending(self) -> Sequence[Path]:
        """List the files to send now, in the order they were put in."""

    def sent(self, path: Path) -> None:
        """Note that the peer has a file."""

    def refused(self, path: Path, reason: str) -> None:
        """Note that the peer will not have a file."""

    def later(self, path: Path, reason: str) -> int:
        """Note why a file was not taken; it is pending again later with each time. Return how often it failed."""

    def awaiting(self, transaction_uid: str, paths: Sequence[Path]) -> None:
        """Note which files the peer is asked to commit itself to; called before it is asked."""

    def committed(self, answer: Commitment) -> bool:
        """Note the peer's answer, also a late one; what it failed to keep is pending again, for later.

        False: no such request.
        """

    def overdue(self, seconds: float) -> int:
        """Make what has waited so long for an answer pending again, for later; return how many files.

        The wait is longer with each silence in a row (:func:`cxrscreen.dicom_node.backoff.patience`), and what was
        asked for :data:`SILENCES` times is refused.
        """

    def settle(self) -> int:
        """Count what waits for an answer as sent: the peer took it, and is asked no more. Return how many files."""


@dataclass(frozen=True)
class _Note:
    """Why the peer did not take or keep a file, how often, when it is sent again, and requests without an answer."""

    failures: int = 0
    not_before: float = 0.0
    reason: str = ""
    unanswered: tuple[str, ...] = ()


class FolderOutbox:
    """An outbox in a folder; see :class:`Outbox`.

    Beside a pending file that the peer did not take or keep lies a note of why, how often, and when it is sent again.
    May be used by several threads: the sender's, and those that bring the peer's answers.

    Parameters
    ----------
    root
        The folder; made where missing.
    clock
        Gives the time in seconds; for tests.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self.root, self._clock = root, clock
        self._lock = threading.RLock()
        for state in (PENDING, AWAITING, SENT, REFUSED):
            (root / state).mkdir(parents=True, exist_ok=True)
        remove_parts(root / PENDING)

    def put(self, path: Path, order: int = 0) -> bool:
        """Put a result in, under its SOP instance UID; durable when this returns.

        Parameters
        ----------
        path
            A DICOM file that stays where it is.
        order
            Among the results put in at once.

        Returns
        -------
        bool
            False where it is in already, in whatever state, so that a repeat sends nothing twice.
        """
        with without_warnings():
            header = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
        name = f"{header.SOPInstanceUID}.dcm"
        with self._lock:
            if self._find(name, PENDING, SENT, REFUSED, AWAITING) is not None:
                return False
            there = self.root / PENDING / name
            try:
                os.link(path, there)
                sync_folder(there.parent)
            except OSError:
                # another file system, or one without links
                write_durably(there, path.read_bytes())
            # a whole second apart is more than any file system's resolution
            when = self._clock() + order
            os.utime(there, (when, when))
        return True

    def pending(self) -> tuple[Path, ...]:
        """See :meth:`Outbox.pending`."""
        now = self._clock()
        with self._lock:
            # No wait is longer: a clock that was set back must not make one so.
            paths = [
                path
                for path in (self.root / PENDING).glob("*.dcm")
                if not 0 < self._read(path.name).not_before - now <= LONGEST_WAIT
            ]
            return tuple(sorted(paths, key=lambda path: (path.stat().st_mtime, path.name)))

    def sent(self, path: Path) -> None:
        """See :meth:`Outbox.sent`."""
        with self._lock:
            # Where it is gone, the late answer to an earlier request came meanwhile; likewise below.
            if path.exists():
                move_durably(path, self.root / SENT)
                self._note(path.name).unlink(missing_ok=True)

    def refused(self, path: Path, reason: str) -> None:
        """See :meth:`Outbox.refused`; the reason lies beside the file."""
        with self._lock:
            if path.exists():
                write_durably(self.root / REFUSED / f"{path.name}.txt", f"{reason}\n".encode())
                move_durably(path, self.root / REFUSED)
                self._note(path.name).unlink(missing_ok=True)

    def later(self, path: Path, reason: str) -> int:
        """See :meth:`Outbox.later`."""
        with self._lock:
            note = self._read(path.name)
            return self._put_off(path, replace(note, failures=note.failures + 1, reason=reason)) if path.exists() else 0

    def awaiting(self, transaction_uid: str, paths: Sequence[Path]) -> None:
        """See :meth:`Outbox.awaiting`."""
        with self._lock:
            folder = self.root / AWAITING / transaction_uid
            folder.mkdir()
            sync_folder(folder.parent)
            for path in paths:
                if path.exists():
                    move_durably(path, folder)

    def committed(self, answer: Commitment) -> bool:
        """See :meth:`Outbox.committed`."""
        with self._lock:
            folder = self._transaction(answer.transaction_uid)
            if folder is None:
                return self._committed_late(answer)
            for path in list(folder.glob("*.dcm")):
                if path.stem in answer.stored:
                    self.sent(path)
                else:
                    # Later with each failure: what an archive never commits itself to would go to it without a pause.
                    self.later(path, NOT_KEPT)
            self._reopen(folder)
            return True

    def overdue(self, seconds: float) -> int:
        """See :meth:`Outbox.overdue`."""
        count = 0
        with self._lock:
            for folder in list((self.root / AWAITING).iterdir()):
                notes = {path: self._read(path.name) for path in folder.glob("*.dcm")}
                wait = patience(seconds, max(map(_silences, notes.values()), default=0))
                if self._clock() - folder.stat().st_mtime < wait:
                    continue
                for path, note in notes.items():
                    silences = _silences(note) + 1
                    if silences >= SILENCES:
                        _LOG.warning("a result was given up: the peer never answered whether it keeps it")
                        self.refused(path, NEVER_ANSWERED)
                        continue
                    unanswered = (*note.unanswered, folder.name)[-_REMEMBERED:]
                    self._put_off(path, _Note(silences, 0.0, NOT_ANSWERED, unanswered))
                count += self._reopen(folder)
        return count

    def settle(self) -> int:
        """See :meth:`Outbox.settle`."""
        with self._lock:
            paths = list((self.root / AWAITING).glob("*/*.dcm"))
            for path in paths:
                self.sent(path)
            for folder in list((self.root / AWAITING).iterdir()):
                folder.rmdir()
            return len(paths)

    def _committed_late(self, answer: Commitment) -> bool:
        """Take an answer to a request that counted as unanswered, whose files are pending or asked for again."""
        known = [
            uid
            for uid in (*answer.stored, *answer.failed)
            if is_uid(uid) and answer.transaction_uid in self._read(f"{uid}.dcm").unanswered
        ]
        for uid in known:
            path = self._find(f"{uid}.dcm", PENDING, AWAITING)
            if uid in answer.stored and path is not None:
                self.sent(path)
        return bool(known)

    def _note(self, name: str) -> Path:
        return self.root / PENDING / f"{name}.json"

    def _read(self, name: str) -> _Note:
        """Read how often the peer did not take or keep a file, and when it is sent again."""
        try:
            note = json.loads(self._note(name).read_bytes())
            return _Note(
                int(note["failures"]), float(note["not_before"]), str(note["reason"]), tuple(note.get("unanswered", ()))
            )
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            # Without a note that can be read it is sent at once.
            return _Note()

    def _put_off(self, path: Path, note: _Note) -> int:
        when = self._clock() + backoff(note.failures)
        write_durably(self._note(path.name), json.dumps(asdict(replace(note, not_before=when))).encode())
        return note.failures

    def _reopen(self, folder: Path) -> int:
        left = list(folder.glob("*.dcm"))
        for path in left:
            move_durably(path, self.root / PENDING)
        folder.rmdir()
        return len(left)

    def _transaction(self, uid: str) -> Path | None:
        # a name out of the folder's own list, never one made of what a peer says
        return next((path for path in (self.root / AWAITING).iterdir() if path.name == uid), None)

    def _find(self, name: str, *states: str) -> Path | None:
        places = [self.root / state for state in states if state != AWAITING]
        if AWAITING in states:
            places += list((self.root / AWAITING).iterdir())
        return next((place / name for place in places if (place / name).exists()), None)


def _silences(note: _Note) -> int:
    """Return how often in a row the peer did not answer."""
    return note.failures if note.reason == NOT_ANSWERED else 0
