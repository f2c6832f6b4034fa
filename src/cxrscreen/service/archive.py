"""A zip archive -> its files, each within bounds that are counted and not believed."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from cxrscreen.service.problems import ServiceError, TooLargeError, UnreadableUploadError

_CHUNK: Final = 2**20
_IN_MEMORY: Final = 2**22
_READ_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1
_ENTRY_BYTES: Final = 1024
"""More than an entry in the archive's list of files takes on average: 46 bytes, its path and a few notes."""


@dataclass(frozen=True)
class Member:
    """A file of an archive.

    Parameters
    ----------
    name
        Its own name, without folders: a label, never a path.
    content
        Open at its start, closed with the next member; None where it cannot be had.
    problem
        Why not.
    """

    name: str
    content: IO[bytes] | None
    problem: ServiceError | None = None


def members(source: IO[bytes], *, max_files: int, max_file_bytes: int, max_bytes: int) -> Iterator[Member]:
    """Unpack an archive, one file after the other.

    Folders and hidden files (names that start with a dot, ``__MACOSX``) are passed over. Nothing is written to a path
    that the archive names.

    Parameters
    ----------
    source
        The archive.
    max_files
        Most entries.
    max_file_bytes, max_bytes
        Largest file and largest sum, counted while unpacking; what the archive says of sizes is not relied on.

    Yields
    ------
    Member
        In the archive's order.

    Raises
    ------
    TooLargeError
        If there are too many entries, or their content passes the sum.
    UnreadableUploadError
        If the archive itself is damaged.
    """
    try:
        if _listed_bytes(source) > max(1, max_files) * _ENTRY_BYTES:
            raise _too_many(max_files)
        archive = zipfile.ZipFile(source)
    except ServiceError:
        raise
    except Exception as error:
        # What damaged archives raise is not one family.
        raise UnreadableUploadError("The zip archive is damaged; pack and send it again.") from error
    with archive:
        entries = archive.infolist()
        if len(entries) > max_files:
            raise _too_many(max_files)
        unpacked = 0
        for entry in entries:
            path = PurePosixPath(entry.filename.replace("\\", "/"))
            if entry.is_dir() or any(_is_hidden(part) for part in path.parts):
                continue
            with SpooledTemporaryFile(max_size=_IN_MEMORY) as content:
                try:
                    unpacked += _unpack(archive, entry, content, max_file_bytes)
                except ServiceError as error:
                    # A file that is too large by itself was unpacked up to its limit.
                    unpacked += content.tell()
                    yield Member(path.name, None, error)
                else:
                    content.seek(0)
                    yield Member(path.name, content)
            if unpacked > max_bytes:
                raise TooLargeError(
                    f"The archive unpacks to more than {max_bytes / 2**20:g} MiB; send several smaller ones."
                )


def _listed_bytes(source: IO[bytes]) -> int:
    """Return the size of the archive's list of files; the library reads so much of it, and makes entries of it all.

    By the library's own reading of the end record, so that there are no two opinions of where the list is.
    """
    end = zipfile._EndRecData(source)  # type: ignore[attr-defined]
    return int(end[zipfile._ECD_SIZE]) if end else 0  # type: ignore[attr-defined]


def _too_many(max_files: int) -> TooLargeError:
    return TooLargeError(f"The archive holds more than {max_files} files; send several smaller ones.")


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: IO[bytes], max_bytes: int) -> int:
    if entry.flag_bits & _ENCRYPTED:
        raise UnreadableUploadError("The file in the archive is encrypted; send it without a password.")
    if entry.compress_type not in _READ_METHODS:
        raise UnreadableUploadError("The file in the archive is packed by a method that is not read; use deflate.")
    size = 0
    try:
        with archive.open(entry) as packed:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    raise TooLargeError(f"The file in the archive is larger than {max_bytes / 2**20:g} MiB.")
                target.write(chunk)
    except ServiceError:
        raise
    except Exception as error:
        raise UnreadableUploadError("The file in the archive is damaged; pack and send it again.") from error
    return size
