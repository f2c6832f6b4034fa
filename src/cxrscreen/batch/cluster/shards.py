"""Files put together into pieces of work, each with a name that follows from its content."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cxrscreen.batch.cluster.items import Item

LARGEST: Final = 256
"""Files of a shard at most, where nobody asked for more: what a killed machine loses is one or two shards a core."""
_FOR_EACH_WORKER: Final = 8
"""Shards for each worker at least, so that the last ones to finish do not leave the others idle for long."""


@dataclass(frozen=True)
class Shard:
    """Files that one worker screens one after the other, and whose rows are written together.

    Parameters
    ----------
    name
        A digest of the keys: the same files give the same name, so that a second execution cannot add rows.
    items
        The files, at least one, no key twice.
    """

    name: str
    items: tuple[Item, ...]


def shards_of(items: Sequence[Item], size: int) -> list[Shard]:
    """Cut items into shards of ``size``, in their order; the last may be smaller.

    Raises
    ------
    ValueError
        If ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f"a shard has at least one file, got {size}")
    return [_shard(items[start : start + size]) for start in range(0, len(items), size)]


def single(shards: Iterable[Shard]) -> list[Shard]:
    """Cut shards into shards of one file each."""
    return [_shard((item,)) for shard in shards for item in shard.items]


def shard_size(files: int, workers: int) -> int:
    """Choose a size: at most 256 files, and at least eight shards for each worker where there are as many files."""
    return max(1, min(LARGEST, files // (max(1, workers) * _FOR_EACH_WORKER)))


def _shard(items: Sequence[Item]) -> Shard:
    digest = hashlib.sha256("".join(item.key for item in items).encode("ascii"))
    return Shard(digest.hexdigest()[:20], tuple(items))
