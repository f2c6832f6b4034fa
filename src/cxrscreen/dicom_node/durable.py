"""Files that are still there after a power cut: written whole or not at all, moved by one rename."""

import os
import uuid
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is on disk, whole, when this returns.

    Parameters
    ----------
    path
        Replaced where it exists; its folder must exist. What a crash leaves of a file being written ends in ``.part``.
    content
        The bytes.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def move_durably(path: Path, folder: Path, name: str | None = None) -> Path:
    """Move a file into a folder on the same file system, replacing one of the same name; return where it is.

    Parameters
    ----------
    path, folder
        What is moved, and where to.
    name
        What it is called there; None: as before.
    """
    there = folder / (name or path.name)
    path.replace(there)
    sync_folder(folder)
    return there


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def remove_parts(folder: Path) -> None:
    """Remove what a crash left of files being written; nobody was told that they are here."""
    for part in folder.glob("*.part"):
        part.unlink(missing_ok=True)
