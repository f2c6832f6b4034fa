"""Results on their way to one peer: a folder whose subfolders are the states, moved on by a rename."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import pydicom

from cxrscreen.dicom_node.backoff import LONGEST_WAIT, backoff
from cxrscreen.dicom_node.durable import move_durably, remove_parts, sync_folder, write_durably
from cxrscreen.dicom_node.scp import Commitment
from cxrscreen.imaging.silence import without_warnings

PENDING: Final = "pending"
AWAITING: Final = "awaiting-commitment"
SENT: Final = "sent"
REFUSED: Final = "refused"
NOT_KEPT: Final = "The peer did not commit itself to it."


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
        """Note the peer's answer; what it failed to keep is pending again, for later. False: no such request."""

    def overdue(self, seconds: float) -> int:
        """Make what has waited so long for an answer pending again; return how many files."""


class FolderOutbox:
    """An outbox in a folder; see :class:`Outbox`.

    Beside a pending file that the peer did not take or keep lies a note of why, how often, and when it is sent again.

    Parameters
    ----------
    root
        The folder; made where missing.
    clock
        Gives the time in seconds; for tests.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self.root, self._clock = root, clock
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
        if self._find(name) is not None:
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
        # No wait is longer: a clock that was set back must not make one so.
        paths = [
            path
            for path in (self.root / PENDING).glob("*.dcm")
            if not 0 < self._failures(path.name)[1] - now <= LONGEST_WAIT
        ]
        return tuple(sorted(paths, key=lambda path: (path.stat().st_mtime, path.name)))

    def sent(self, path: Path) -> None:
        """See :meth:`Outbox.sent`."""
        move_durably(path, self.root / SENT)
        self._note(path.name).unlink(missing_ok=True)

    def refused(self, path: Path, reason: str) -> None:
        """See :meth:`Outbox.refused`; the reason lies beside the file."""
        write_durably(self.root / REFUSED / f"{path.name}.txt", f"{reason}\n".encode())
        move_durably(path, self.root / REFUSED)
        self._note(path.name).unlink(missing_ok=True)

    def later(self, path: Path, reason: str) -> int:
        """See :meth:`Outbox.later`."""
        failures = self._failures(path.name)[0] + 1
        note = {"failures": failures, "not_before": self._clock() + backoff(failures), "reason": reason}
        write_durably(self._note(path.name), json.dumps(note).encode())
        return failures

    def awaiting(self, transaction_uid: str, paths: Sequence[Path]) -> None:
        """See :meth:`Outbox.awaiting`."""
        folder = self.root / AWAITING / transaction_uid
        folder.mkdir()
        sync_folder(folder.parent)
        for path in paths:
            move_durably(path, folder)

    def committed(self, answer: Commitment) -> bool:
        """See :meth:`Outbox.committed`."""
        folder = self._transaction(answer.transaction_uid)
        if folder is None:
            return False
        for uid in answer.stored:
            if (folder / f"{uid}.dcm").exists():
                self.sent(folder / f"{uid}.dcm")
        for path in folder.glob("*.dcm"):
            # Later with each failure: what an archive never commits itself to would go to it without a pause.
            self.later(path, NOT_KEPT)
        self._reopen(folder)
        return True

    def overdue(self, seconds: float) -> int:
        """See :meth:`Outbox.overdue`."""
        late = [path for path in (self.root / AWAITING).iterdir() if self._clock() - path.stat().st_mtime >= seconds]
        return sum(self._reopen(folder) for folder in late)

    def _note(self, name: str) -> Path:
        return self.root / PENDING / f"{name}.json"

    def _failures(self, name: str) -> tuple[int, float]:
        """Read how often the peer did not take or keep a file, and when it is sent again."""
        try:
            note = json.loads(self._note(name).read_bytes())
            return int(note["failures"]), float(note["not_before"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            # Without a note that can be read it is sent at once.
            return 0, 0.0

    def _reopen(self, folder: Path) -> int:
        left = list(folder.glob("*.dcm"))
        for path in left:
            move_durably(path, self.root / PENDING)
        folder.rmdir()
        return len(left)

    def _transaction(self, uid: str) -> Path | None:
        # a name out of the folder's own list, never one made of what a peer says
        return next((path for path in (self.root / AWAITING).iterdir() if path.name == uid), None)

    def _find(self, name: str) -> Path | None:
        places = [self.root / state for state in (PENDING, SENT, REFUSED)]
        places += list((self.root / AWAITING).iterdir())
        return next((place / name for place in places if (place / name).exists()), None)
