"""Files named by their content: written whole or not at all, never overwritten, removed only when nobody needs them."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cxrscreen.errors import CxrscreenError
from cxrscreen.service.store.columns import new_id

if sys.platform != "win32":
    import fcntl

_CHUNK: Final = 2**20


class FilesError(CxrscreenError):
    """A file of the service that cannot be written or is gone."""


@dataclass(frozen=True)
class StoredFile:
    """A file that is on disk for good.

    Parameters
    ----------
    sha256
        Its name, hexadecimal.
    size_bytes
        Its length.
    """

    sha256: str
    size_bytes: int


class Files:
    """A folder of files named by their SHA-256.

    Writers hold a lock together, whoever removes holds it alone, over all processes of the machine. So a file that is
    written a second time just when its first owner is deleted is not lost: :meth:`ensure` looks after the second owner
    is in the database, :meth:`remove_unneeded` asks the database while it holds the lock.

    Parameters
    ----------
    folder
        Made where missing.

    Raises
    ------
    FilesError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._incoming = self.folder / "incoming"
        try:
            self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.folder / "lock").touch(mode=0o600)
        except OSError as error:
            raise FilesError(f"The service's folder cannot be written ({error.strerror}); check its rights.") from error

    def path(self, sha256: str) -> Path:
        """Return where a file is, or would be."""
        return self.folder / sha256[:2] / sha256[2:4] / sha256

    def put(self, source: IO[bytes]) -> StoredFile:
        """Write a file; when this returns it survives a loss of power.

        Parameters
        ----------
        source
            Read from where it stands to its end.

        Raises
        ------
        FilesError
            If the disk is full or cannot be written.
        """
        unfinished = self._incoming / new_id()
        digest = hashlib.sha256()
        size = 0
        try:
            with self._lock(alone=False):
                with unfinished.open("xb") as target:
                    while chunk := source.read(_CHUNK):
                        digest.update(chunk)
                        size += target.write(chunk)
                    target.flush()
                    os.fsync(target.fileno())
                place = self.path(digest.hexdigest())
                _make_durable_folder(place.parent, self.folder)
                unfinished.replace(place)
                _sync_folder(place.parent)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise FilesError(
                f"A file could not be stored ({error.strerror}); check the disk's space and rights."
            ) from error
        return StoredFile(digest.hexdigest(), size)

    def ensure(self, stored: StoredFile, source: IO[bytes]) -> None:
        """Write a file again if it was removed before its new owner was in the database; call it after the commit."""
        with self._lock(alone=False):
            there = self.path(stored.sha256).exists()
        if not there:
            source.seek(0)
            self.put(source)

    def read(self, sha256: str) -> bytes:
        """Read a file.

        Raises
        ------
        FilesError
            If it is gone.
        """
        try:
            return self.path(sha256).read_bytes()
        except OSError as error:
            raise FilesError(
                f"The stored file {sha256[:12]}... cannot be read ({error.strerror}); restore it from a backup."
            ) from error

    def remove_unneeded(self, sha256: str, needed: Callable[[str], bool]) -> bool:
        """Remove a file unless somebody needs it.

        Parameters
        ----------
        sha256
            Its name.
        needed
            Asks the database, in a transaction begun after the call, whether a row names the file.

        Returns
        -------
        bool
            Whether it was removed.
        """
        with self._lock(alone=True):
            if needed(sha256):
                return False
            try:
                self.path(sha256).unlink()
            except FileNotFoundError:
                return False
            return True

    def writable(self) -> bool:
        """Tell whether a file can be written."""
        trial = self._incoming / new_id()
        try:
            trial.touch()
            trial.unlink()
        except OSError:
            return False
        return True

    def names(self) -> Iterator[str]:
        """List the files, in no order."""
        for place in self.folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"):
            yield place.name

    def age_seconds(self, sha256: str) -> float:
        """Return how long ago a file was written, 0 where it is gone."""
        try:
            return max(0.0, time.time() - self.path(sha256).stat().st_mtime)
        except OSError:
            return 0.0

    def remove_unfinished(self, older_than_seconds: float) -> int:
        """Remove what writers that were killed left behind; return how many files."""
        removed = 0
        for place in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - place.stat().st_mtime > older_than_seconds:
                    place.unlink()
                    removed += 1
        return removed

    @contextmanager
    def _lock(self, *, alone: bool) -> Iterator[None]:
        # For writing too: on NFS nobody holds a lock alone whose file is open for reading only.
        with (self.folder / "lock").open("r+b") as lock:
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield


def _make_durable_folder(folder: Path, root: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for parent in (folder.parent, root):
        _sync_folder(parent)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
