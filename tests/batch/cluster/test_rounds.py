"""Workers that die, answer twice, answer in part or not at all: every file still gets exactly one row."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.batch.cluster.items import Item, key_of
from cxrscreen.batch.cluster.one_file import Asked
from cxrscreen.batch.cluster.rounds import ClusterError, screen_items
from cxrscreen.batch.cluster.shards import Shard
from cxrscreen.batch.cluster.store import ResultStore
from cxrscreen.batch.cluster.table import table_of
from cxrscreen.batch.run import Options

ASKED = Asked("cascade@test", "0", Options())


def items(count: int) -> list[Item]:
    return [Item(key_of(f"{number}"), "file", f"/in/{number}.dcm", "1-1") for number in range(count)]


def answer(shard: Shard) -> pa.Table:
    return table_of(
        [
            {"key": item.key, "source": item.location, "stamp": item.stamp, "shard": shard.name, "status": "screened"}
            for item in shard.items
        ]
    )


def sources(out: Path) -> Counter[str]:
    return Counter(ds.dataset(out / "results", partitioning="hive").to_table()["source"].to_pylist())


class Cluster:
    """Does each round as told: which shards are lost, doubled or cut, and which files end their worker."""

    def __init__(self, fates: Sequence[str] = (), poison: Sequence[str] = ()) -> None:
        self.fates = list(fates)
        self.poison = set(poison)
        self.worked = Counter[str]()

    def __call__(self, shards: Sequence[Shard]) -> Iterator[pa.Table]:
        for shard in shards:
            self.worked.update(item.location for item in shard.items)
            fate = self.fates.pop() if self.fates else "done"
            if fate == "lost" or self.poison & {item.location for item in shard.items}:
                continue
            rows = answer(shard)
            yield from {"done": [rows], "twice": [rows, rows], "cut": [rows[: rows.num_rows // 2]]}[fate]


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 12), st.integers(1, 5), st.lists(st.sampled_from(["done", "lost", "twice", "cut"]), max_size=8))
def test_every_file_has_exactly_one_row(
    tmp_path_factory: pytest.TempPathFactory, count: int, size: int, fates: list[str]
) -> None:
    out = tmp_path_factory.mktemp("out")
    store = ResultStore(str(out))
    with store.opened({}, resume=False):
        try:
            counts = screen_items(items(count), store, Cluster(fates), ASKED, size=size)
        except ClusterError:
            assert not sources(out)
            return
    assert sources(out) == Counter(item.location for item in items(count))
    assert sum(counts.by_status.values()) == count


def test_a_file_that_ends_its_worker_fails_alone(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    cluster = Cluster(poison=["/in/3.dcm"])
    seen: list[dict[str, int]] = []
    with store.opened({}, resume=False):
        counts = screen_items(items(10), store, cluster, ASKED, size=5, on_written=seen.append)
    assert counts.by_status == {"screened": 9, "refused": 0, "failed": 1}
    assert sum(sum(written.values()) for written in seen) == 10
    failed = ds.dataset(tmp_path / "results" / "status=failed").to_table().to_pylist()
    assert [row["error"] for row in failed] == ["3.dcm ended every process that worked on it; screen it alone."]
    # The other shard's files were worked on once.
    assert {cluster.worked[f"/in/{number}.dcm"] for number in range(5, 10)} == {1}


def test_a_cluster_that_screens_nothing_is_an_error_and_not_a_thousand_failed_files(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened({}, resume=False), pytest.raises(ClusterError, match="No worker lived long enough"):
        screen_items(items(4), store, lambda shards: iter(()), ASKED, size=2)
    assert not list((tmp_path / "results").rglob("*.parquet"))


def test_a_single_file_that_ends_its_worker_is_one_failed_file(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened({}, resume=False):
        counts = screen_items(items(1), store, lambda shards: iter(()), ASKED, size=2)
    assert counts.by_status["failed"] == 1


def test_a_killed_run_goes_on_and_screens_nothing_twice(tmp_path: Path) -> None:
    def killed_after_two(shards: Sequence[Shard]) -> Iterator[pa.Table]:
        yield from map(answer, shards[:2])
        raise KeyboardInterrupt

    store = ResultStore(str(tmp_path))
    with pytest.raises(KeyboardInterrupt), store.opened({}, resume=False):
        screen_items(items(10), store, killed_after_two, ASKED, size=3)
    assert sum(sources(tmp_path).values()) == 6
    cluster = Cluster()
    with store.opened({}, resume=True):
        left, kept = store.unfinished(items(10))
        counts = screen_items(left, store, cluster, ASKED, size=3)
    assert (kept["screened"], counts.by_status["screened"]) == (6, 4)
    assert cluster.worked == Counter(item.location for item in items(10)[6:])
    assert sources(tmp_path) == Counter(item.location for item in items(10))
