"""Instances between their arrival and their result: a folder whose subfolders are the states, moved on by a rename."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cxrscreen.dicom_node.durable import move_durably, remove_parts, write_durably
from cxrscreen.dicom_node.instance import Instance, examine
from cxrscreen.dicom_node.scp import CallingPeer

RECEIVED: Final = "received"
SCREENED: Final = "screened"
SET_ASIDE: Final = "set-aside"
BEGUN: Final = "begun"
_LOCKS: Final = 64
"""More than callers at once; two that are no matter to each other seldom share one."""


@dataclass(frozen=True)
class Waiting:
    """A received instance that has no result yet.

    Parameters
    ----------
    path
        Its file.
    study_instance_uid
        Its study.
    since
        When it came, seconds of the system's clock.
    """

    path: Path
    study_instance_uid: str
    since: float


class Spool:
    """The folder of received instances.

    ``received`` holds what was acknowledged and has no result, ``screened`` what has one, ``set-aside`` what could not
    be screened, each with its reason beside it. A file is written whole, made durable and only then acknowledged; it
    changes its state by one rename, so that a kill at any moment leaves it in one of them.

    Parameters
    ----------
    root
        The folder; made where missing.
    clock
        Gives the time in seconds; for tests.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self.root, self._clock = root, clock
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))
        for state in (RECEIVED, SCREENED, SET_ASIDE, BEGUN):
            (root / state).mkdir(parents=True, exist_ok=True)
        remove_parts(root / RECEIVED)

    def received(self, content: bytes, caller: CallingPeer) -> None:
        """Keep an instance; durable when this returns. See :data:`cxrscreen.dicom_node.scp.Received`.

        An instance that is here already is kept once; another one under the same UID is set aside.

        Raises
        ------
        NotTakenError
            If it is none to take.
        OSError
            If it cannot be kept.
        """
        name = file_name(examine(content))
        # Two callers may bring different instances under one UID at the same moment; both are acknowledged.
        with self._lock(name):
            held = next((path for state in (RECEIVED, SCREENED) if (path := self.root / state / name).exists()), None)
            if held is None:
                write_durably(self.root / RECEIVED / name, content)
            elif held.read_bytes() != content:
                other = _other_name(name, content)
                self._explain(other, f"Another instance with the same UID came from {caller.ae_title}.")
                write_durably(self.root / SET_ASIDE / other, content)

    def waiting(self) -> tuple[Waiting, ...]:
        """List what has no result yet, the oldest first."""
        found = []
        for path in (self.root / RECEIVED).glob("*.dcm"):
            try:
                since = path.stat().st_mtime
            except FileNotFoundError:
                continue
            except OSError:
                # Its turn comes at once, and shows what the disk says of it; the others do not wait for it.
                since = 0.0
            found.append(Waiting(path, path.name.partition("_")[0], since))
        return tuple(sorted(found, key=lambda waiting: (waiting.since, waiting.path.name)))

    def complete(self, quiet_seconds: float) -> tuple[Waiting, ...]:
        """List what waits of studies of which nothing has come for so long, the study that is quiet longest first."""
        return of_quiet_studies(self.waiting(), self._clock(), quiet_seconds)

    def begin(self, waiting: Waiting) -> int:
        """Note that the screening of an instance begins; return how often it began, so that one can give up."""
        note = self.root / BEGUN / waiting.path.name
        times = note.stat().st_size + 1 if note.exists() else 1
        write_durably(note, b"." * times)
        return times

    def forget(self, waiting: Waiting) -> None:
        """Forget how often the screening of an instance began: it was not the instance's fault."""
        (self.root / BEGUN / waiting.path.name).unlink(missing_ok=True)

    def done(self, waiting: Waiting) -> None:
        """Mark an instance as one that has its result."""
        with self._lock(waiting.path.name):
            move_durably(waiting.path, self.root / SCREENED)
        self.forget(waiting)

    def set_aside(self, waiting: Waiting, reason: str) -> None:
        """Put an instance aside that cannot be screened, with the reason in one sentence.

        Another one that was put aside under the same UID stays.
        """
        name = waiting.path.name
        with self._lock(name):
            if (self.root / SET_ASIDE / name).exists():
                content = waiting.path.read_bytes()
                if content != (self.root / SET_ASIDE / name).read_bytes():
                    name = _other_name(name, content)
            self._explain(name, reason)
            move_durably(waiting.path, self.root / SET_ASIDE, name)
        self.forget(waiting)

    def _lock(self, name: str) -> threading.Lock:
        return self._locks[hash(name) % _LOCKS]

    def _explain(self, name: str, reason: str) -> None:
        write_durably(self.root / SET_ASIDE / f"{name}.txt", f"{reason}\n".encode())


def of_quiet_studies(waiting: Sequence[Waiting], now: float, quiet_seconds: float) -> tuple[Waiting, ...]:
    """Choose the instances of studies whose last one came at least so long ago.

    A clock that was set back does not hold a study for ever: what came in the future counts as old.

    Parameters
    ----------
    waiting
        All that waits.
    now, quiet_seconds
        In seconds.
    """
    last: dict[str, float] = {}
    for one in waiting:
        last[one.study_instance_uid] = max(one.since, last.get(one.study_instance_uid, one.since))
    quiet = {study for study, came in last.items() if now - came >= quiet_seconds or came > now + quiet_seconds}
    chosen = [one for one in waiting if one.study_instance_uid in quiet]
    return tuple(sorted(chosen, key=lambda one: (last[one.study_instance_uid], one.since, one.path.name)))


def file_name(instance: Instance) -> str:
    """Return the name of an instance's file; UIDs hold digits and dots alone, so it leads nowhere else."""
    return f"{instance.study_instance_uid}_{instance.sop_instance_uid}.dcm"


def _other_name(name: str, content: bytes) -> str:
    """Return the name of a further instance under a UID that another one has."""
    return f"{name.removesuffix('.dcm')}-{hashlib.sha256(content).hexdigest()[:12]}.dcm"
