"""Shards out, rows in: every file gets exactly one row, whatever happens to the workers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from cxrscreen.batch.cluster.items import Item
from cxrscreen.batch.cluster.one_file import Asked, failed_row, shown
from cxrscreen.batch.cluster.shards import Shard, shards_of, single
from cxrscreen.batch.cluster.store import STATUSES, ResultStore
from cxrscreen.batch.cluster.table import table_of
from cxrscreen.errors import CxrscreenError

Execute = Callable[[Sequence[Shard]], Iterator[pa.Table]]
"""Screens shards somewhere, and gives the rows of each in any order; of some nothing may come back, or twice."""


class ClusterError(CxrscreenError):
    """A cluster that cannot be reached, or that does not do the work."""


@dataclass
class Counts:
    """Files by status, grown while a run goes on."""

    by_status: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))

    def add(self, counts: dict[str, int]) -> None:
        """Count more files."""
        for status, number in counts.items():
            self.by_status[status] += number


def screen_items(
    items: Sequence[Item],
    store: ResultStore,
    execute: Execute,
    asked: Asked,
    *,
    size: int,
    on_written: Callable[[dict[str, int]], None] | None = None,
) -> Counts:
    """Screen files and write their rows, as they come.

    What a first round leaves, since the workers that had it ended again and again, goes out once more, each file alone;
    a file that is left even then has ended its worker, and fails with that reason.

    Parameters
    ----------
    items
        The files, no key twice.
    store
        Takes the rows; open.
    execute
        Does the work.
    asked
        What is asked.
    size
        Files of a shard.
    on_written
        Called after each shard is on disk, with its files by status.

    Raises
    ------
    ClusterError
        If no file of several got a row.
    """
    counts = Counts()

    def written(rows: pa.Table) -> None:
        if not any(counts.by_status.values()):
            # Until there is a first new row, the old ones say more than none.
            store.take_out(items)
        new = store.write(rows)
        counts.add(new)
        if on_written is not None:
            on_written(new)

    shards = shards_of(items, size)
    lost = _round(shards, execute, written)
    if lost:
        lost = _round(single(lost), execute, written)
    if len(lost) == len(items) > 1:
        raise ClusterError(
            "No worker lived long enough to screen a file: look at the memory of the nodes and at Ray's logs there, "
            "then go on with --resume."
        )
    for shard in lost:
        rows: list[dict[str, Any]] = [
            failed_row(item, f"{shown(item)} ended every process that worked on it; screen it alone.", asked)
            for item in shard.items
        ]
        written(table_of([row | {"shard": shard.name} for row in rows]))
    return counts


def _round(shards: Sequence[Shard], execute: Execute, written: Callable[[pa.Table], None]) -> list[Shard]:
    """Have shards screened once, and give back those of which nothing whole came."""
    waiting = {shard.name: shard for shard in shards}
    if not waiting:
        return []
    for rows in execute(shards):
        # What comes a second time, since its worker was thought dead, is known by its name.
        shard = waiting.get(rows["shard"][0].as_py()) if rows.num_rows else None
        if shard is not None and rows["key"].to_pylist() == [item.key for item in shard.items]:
            written(rows)
            del waiting[shard.name]
    return list(waiting.values())
