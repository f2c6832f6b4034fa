"""Backup and restore: every row and every file in one archive, the same for SQLite and PostgreSQL."""

import contextlib
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection, Table, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from cxrscreen import __version__
from cxrscreen.errors import CxrscreenError
from cxrscreen.service.context import Context
from cxrscreen.service.store.columns import UtcDateTime
from cxrscreen.service.store.database import WRITES
from cxrscreen.service.store.models import Base
from cxrscreen.service.store.upgrade import current_revision, upgrade

_ABOUT: Final = "about.json"
_FORMAT: Final = 1
_ROWS_AT_ONCE: Final = 500


class BackupError(CxrscreenError):
    """A backup that cannot be written, is damaged, or would overwrite what is there."""


def back_up(context: Context, target: Path) -> Mapping[str, int]:
    """Write all rows, as they are at one moment, and the files that they name; the service may go on meanwhile.

    The archive holds patient data and password digests in the clear: keep it as safe as the service's folder.

    Parameters
    ----------
    context
        The store.
    target
        The archive (tar, gzip); it appears under its name when it is complete.

    Returns
    -------
    dict
        Rows by table, and ``"files"``.

    Raises
    ------
    BackupError
        If there is such a file, or it cannot be written, or a file of the service is gone.
    """
    if target.exists():
        raise BackupError(f"{target.name} exists; give the backup another name.")
    unfinished = target.with_name(f"{target.name}.part")
    counts: dict[str, int] = {}
    try:
        with (
            _private(unfinished) as out,
            tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar,
        ):
            with context.database.engine.connect() as connection:
                if not context.database.is_sqlite:
                    connection.execution_options(isolation_level="REPEATABLE READ")
                named: set[str] = set()
                for table in Base.metadata.sorted_tables:
                    counts[table.name] = _write_table(tar, connection, table, named)
                about = {"format": _FORMAT, "version": __version__, "revision": current_revision(context.database)}
            for sha256 in sorted(named):
                _write_file(tar, context, sha256)
            counts["files"] = len(named)
            _add(tar, _ABOUT, json.dumps({**about, "made_at": context.now().isoformat(), "counts": counts}).encode())
        _sync(unfinished)
        unfinished.replace(target)
    except OSError as error:
        raise BackupError(f"The backup could not be written ({error.strerror}); check space and rights.") from error
    finally:
        # Where its folder is none, this fails as the writing did, and would hide why.
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return counts


def restore(context: Context, source: Path) -> Mapping[str, int]:
    """Put a backup into an empty service: all rows, or none.

    Parameters
    ----------
    context
        A store without any row.
    source
        What :func:`back_up` wrote, by this version or an earlier one whose tables were the same.

    Returns
    -------
    dict
        Rows by table, and ``"files"``.

    Raises
    ------
    BackupError
        If the service holds rows, or the archive is damaged, incomplete or of another state of the tables.
    """
    upgrade(context.database)
    try:
        with tarfile.open(source, mode="r:gz") as tar:
            about = json.loads(_read(tar, _ABOUT))
            if about["format"] != _FORMAT or about["revision"] != current_revision(context.database):
                raise BackupError(
                    f"The backup is of cxrscreen {about['version']}, whose tables differ; restore it with that version "
                    "and upgrade then."
                )
            _restore_files(tar, context)
            with context.database.engine.connect() as connection:
                connection.execution_options(**{WRITES: True})
                with connection.begin():
                    counts = {table.name: _read_table(tar, connection, table) for table in Base.metadata.sorted_tables}
                    counts["files"] = about["counts"]["files"]
                    if counts != about["counts"]:
                        raise BackupError(
                            "The backup is incomplete: it holds fewer rows than it says; take another one."
                        )
    except (tarfile.TarError, zlib.error, KeyError, ValueError, EOFError, SQLAlchemyError) as error:
        raise BackupError(f"The backup is damaged ({type(error).__name__}); take another one.") from error
    except OSError as error:
        raise BackupError(f"The backup cannot be read ({error.strerror or 'damaged'}); check its name.") from error
    return counts


def _write_table(tar: tarfile.TarFile, connection: Connection, table: Table, named: set[str]) -> int:
    rows = 0
    with tempfile.TemporaryFile() as lines:
        for row in connection.execute(select(table)).mappings():
            lines.write(json.dumps({key: _as_json(value) for key, value in row.items()}).encode() + b"\n")
            rows += 1
            if "sha256" in row:
                named.add(row["sha256"])
        size = lines.tell()
        lines.seek(0)
        _add(tar, f"tables/{table.name}.jsonl", lines, size)
    return rows


def _write_file(tar: tarfile.TarFile, context: Context, sha256: str) -> None:
    try:
        with context.files.path(sha256).open("rb") as content:
            _add(tar, f"files/{sha256}", content, os.fstat(content.fileno()).st_size)
    except FileNotFoundError as error:
        raise BackupError(
            "A file is gone that was there when the backup began, perhaps with a study that was deleted; start again."
        ) from error


def _restore_files(tar: tarfile.TarFile, context: Context) -> None:
    for member in tar:
        folder, _, name = member.name.partition("/")
        if folder != "files" or not member.isreg():
            continue
        content = tar.extractfile(member)
        # The file's place follows from its content, never from the name in the archive.
        if content is None or context.files.put(content).sha256 != name:
            raise BackupError("A file in the backup is not what its name says; take another backup.")


def _read_table(tar: tarfile.TarFile, connection: Connection, table: Table) -> int:
    if connection.scalar(select(func.count()).select_from(table)):
        raise BackupError("The service is not empty; restore into a new folder and an empty database.")
    count = 0
    for rows in _batches(tar, table):
        connection.execute(insert(table), rows)
        count += len(rows)
    number = table.autoincrement_column
    if number is not None and number.name == "number" and connection.dialect.name == "postgresql" and count:
        sequence = f"pg_get_serial_sequence('{table.name}', 'number')"
        connection.execute(text(f"SELECT setval({sequence}, (SELECT max(number) FROM {table.name}))"))
    return count


def _batches(tar: tarfile.TarFile, table: Table) -> Iterator[list[dict[str, Any]]]:
    lines = io.TextIOWrapper(io.BytesIO(_read(tar, f"tables/{table.name}.jsonl")), "utf-8")
    batch: list[dict[str, Any]] = []
    for line in lines:
        row = json.loads(line)
        batch.append({column.name: _from_json(column.type, row[column.name]) for column in table.columns})
        if len(batch) == _ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _from_json(kind: object, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, UtcDateTime):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if getattr(kind, "python_type", None) is date else value


def _add(tar: tarfile.TarFile, name: str, content: bytes | IO[bytes], size: int = 0) -> None:
    info = tarfile.TarInfo(name)
    info.mode = 0o600
    if isinstance(content, bytes):
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    else:
        info.size = size
        tar.addfile(info, content)


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    if content is None:
        raise KeyError(name)
    return content.read()


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _sync(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())
