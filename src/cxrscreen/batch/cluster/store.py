"""The results on disk or in an object store: Parquet files by status, each whole or not there."""

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from cxrscreen.batch.cluster.items import Item
from cxrscreen.batch.cluster.objects import checked_address, shown_address
from cxrscreen.batch.cluster.table import SCHEMA, SCHEMA_VERSION, STATUS
from cxrscreen.batch.folders import RESULTS, RUN_FILE
from cxrscreen.batch.run import OutputError, locked

STATUSES: Final = ("screened", "refused", "failed")
_LOCK: Final = ".lock"
_PART: Final = ".part"


class ResultStore:
    """Where a run's rows are kept: ``results/status=.../SHARD.parquet``, and ``run.json`` with what was asked.

    One process writes. On a file system a file is written under another name and renamed; an object store shows an
    object once it is whole.

    Parameters
    ----------
    out
        A folder, or an fsspec URL.

    Raises
    ------
    SourceError
        If the URL holds what may be secret, or is none.
    OutputError
        If its driver is not installed or refuses.
    """

    def __init__(self, out: str) -> None:
        self._named = shown_address(checked_address(out)) if "://" in out else out
        try:
            self._files, root = fsspec.core.url_to_fs(out)
        except Exception as error:
            raise OutputError(
                f"The output {self._named!r} cannot be opened ({type(error).__name__}): check the URL, and install the "
                "driver of its store (s3fs, gcsfs, adlfs)."
            ) from error
        self._root = str(root).rstrip("/")
        self.local: bool = isinstance(self._files, LocalFileSystem)

    @property
    def root(self) -> str:
        """The folder as its file system names it."""
        return self._root

    @property
    def results(self) -> str:
        """What a reader of Parquet opens: the folder of the partitions."""
        return str(self._files.unstrip_protocol(f"{self._root}/{RESULTS}")).removeprefix("file://")

    @contextmanager
    def opened(self, head: Mapping[str, Any], *, resume: bool) -> Iterator[None]:
        """Hold the output for one run, made where missing.

        Parameters
        ----------
        head
            What results may be put together: bundle, options.
        resume
            Go on with results that are there.

        Raises
        ------
        OutputError
            If it cannot be written, another run on this machine is writing to it, it holds results and is not to be
            resumed, or those are of another bundle, other options or another version of the columns.
        """
        whole = {"schema": SCHEMA_VERSION, **head}
        with ExitStack() as held:
            with self._writing():
                for status in STATUSES:
                    self._files.makedirs(self._folder(status), exist_ok=True)
                if self.local:
                    # Against another run on this machine; object stores have no locks.
                    held.enter_context(locked(Path(self._root, _LOCK), self._named))
                self._check(whole, resume)
                self._put(f"{self._root}/{RUN_FILE}", json.dumps(whole, indent=1, sort_keys=True).encode())
                for status in STATUSES:
                    for name in self._listed(status):
                        if name.endswith(_PART):
                            self._files.rm_file(name)
            yield

    def unfinished(self, items: Sequence[Item]) -> tuple[list[Item], dict[str, int]]:
        """Find what is still to be screened; nothing is changed.

        A row stays where its file was screened or refused and has not changed since, is not there now, or is not named
        this time.

        Returns
        -------
        list of Item
            In their order.
        dict
            Rows that stay, by status.

        Raises
        ------
        OutputError
            If a file cannot be read.
        """
        there: set[str] = set()
        kept = dict.fromkeys(STATUSES, 0)
        for status, _, keys, stays in self._staying(items):
            there.update(key for key, stay in zip(keys, stays, strict=True) if stay)
            kept[status] += sum(stays)
        return [item for item in items if item.key not in there], kept

    def take_out(self, items: Sequence[Item]) -> None:
        """Take out the rows that new ones will replace, of what failed or has changed, so that those are the only ones.

        Parameters
        ----------
        items
            What is screened again.

        Raises
        ------
        OutputError
            If a file cannot be read, written or removed.
        """
        for _, path, _, stays in list(self._staying(items)):
            if not any(stays):
                with self._writing():
                    self._files.rm_file(path)
            elif not all(stays):
                self._put(path, _parquet(self._read(path).filter(pa.array(stays))))

    def _staying(self, items: Sequence[Item]) -> Iterator[tuple[str, str, list[str], list[bool]]]:
        """Of each file of results its status, its path, its rows' keys, and which rows stay."""
        named = {item.key: item for item in items}
        there: set[str] = set()
        for status in STATUSES:
            for path in self._results(status):
                rows = self._read(path, ["key", "stamp"])
                keys, stamps = rows["key"].to_pylist(), rows["stamp"].to_pylist()
                # A file without a stamp is not there: a drive that is not mounted must not cost what was found.
                stays = [
                    key not in there and (key not in named or (status != "failed" and named[key].stamp in ("", stamp)))
                    for key, stamp in zip(keys, stamps, strict=True)
                ]
                there.update(key for key, stay in zip(keys, stays, strict=True) if stay)
                yield status, path, keys, stays

    def write(self, rows: pa.Table) -> dict[str, int]:
        """Write the rows of one shard, a file for each status that occurs.

        Parameters
        ----------
        rows
            Of :data:`~cxrscreen.batch.cluster.table.ROWS`, all of one shard, whose name is the files' name: a second
            write takes the first one's place.

        Returns
        -------
        dict
            Rows by status.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        shard = rows["shard"][0].as_py()
        counts = {}
        for status in STATUSES:
            part = rows.filter(pc.equal(rows[STATUS], status)).drop_columns([STATUS])
            if part.num_rows:
                self._put(f"{self._folder(status)}/{shard}.parquet", _parquet(part.cast(SCHEMA)))
            counts[status] = part.num_rows
        return counts

    def _folder(self, status: str) -> str:
        return f"{self._root}/{RESULTS}/{STATUS}={status}"

    def _results(self, status: str) -> list[str]:
        return [name for name in self._listed(status) if name.endswith(".parquet")]

    def _listed(self, status: str) -> list[str]:
        self._files.invalidate_cache()
        with self._writing():
            try:
                return sorted(map(str, self._files.ls(self._folder(status), detail=False)))
            except FileNotFoundError:
                # An object store has no empty folders.
                return []

    def _read(self, path: str, columns: list[str] | None = None) -> pa.Table:
        try:
            # One file as it is: what its folder says of it stays out.
            with self._files.open(path, "rb") as file:
                rows = pq.ParquetFile(file).read(columns=columns)
            return rows if columns is None else rows.select(columns)
        except Exception as error:
            raise OutputError(
                f"{'/'.join(path.split('/')[-2:])} in {self._named!r} cannot be read ({_reason(error)}): check your "
                "rights; if it is damaged, take it away, and --resume screens its files again."
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Word what a file system or a driver raises, which need not be an OSError."""
        try:
            yield
        except OutputError:
            raise
        except Exception as error:
            raise OutputError(
                f"The results could not be written to {self._named!r} ({_reason(error)}); make room or check your "
                "rights, and go on with --resume."
            ) from error

    def _check(self, head: Mapping[str, Any], resume: bool) -> None:
        # A run that got no row, since it did not reach its cluster, binds nobody.
        if not any(map(self._results, STATUSES)):
            return
        path = f"{self._root}/{RUN_FILE}"
        if not self._files.exists(path):
            raise OutputError(
                f"The results in {self._named!r} lack {RUN_FILE}, which says what was asked: bring it back, or choose "
                "another folder with --out."
            )
        if not resume:
            raise OutputError(
                f"{self._named!r} holds results already: go on with --resume, or choose another folder with --out."
            )
        try:
            same = json.loads(self._files.cat_file(path)) == json.loads(json.dumps(head))
        except ValueError:
            same = False
        if not same:
            raise OutputError(
                f"The results in {self._named!r} are of another bundle, other options or another version: resume with "
                "those, or choose another folder with --out."
            )

    def _put(self, path: str, content: bytes) -> None:
        with self._writing():
            if not self.local:
                self._files.pipe_file(path, content)
                return
            folder, _, name = path.rpartition("/")
            # Readers of Parquet leave out hidden files: one that reads while a run goes on sees whole files alone.
            part = f"{folder}/.{name}{_PART}"
            with open(part, "wb") as file:  # noqa: PTH123 - named by fsspec
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)  # noqa: PTH105


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _parquet(rows: pa.Table) -> bytes:
    content = io.BytesIO()
    pq.write_table(rows, content, compression="zstd")
    return content.getvalue()
