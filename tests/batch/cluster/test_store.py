"""Parquet by status: whole files alone, one row a file, and a run that goes on where it stopped."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from cxrscreen.batch.cluster.items import Item, key_of
from cxrscreen.batch.cluster.shards import shards_of
from cxrscreen.batch.cluster.store import ResultStore
from cxrscreen.batch.cluster.table import SCHEMA, table_of
from cxrscreen.batch.run import OutputError

HEAD = {"bundle": "cascade@test"}


def item(name: str, stamp: str = "1-1") -> Item:
    return Item(key_of(name), "file", f"/in/{name}", stamp)


def rows_of(items: Sequence[Item], *statuses: str) -> pa.Table:
    (shard,) = shards_of(items, len(items))
    return table_of(
        [
            {"key": item.key, "source": item.location, "stamp": item.stamp, "shard": shard.name, "status": status}
            for item, status in zip(items, statuses, strict=True)
        ]
    )


def everything(out: Path) -> dict[str, str]:
    files = ds.dataset(out / "results", partitioning="hive", format="parquet")
    if not files.files:
        return {}
    table = files.to_table()
    found = list(zip(table["source"].to_pylist(), table["status"].to_pylist(), strict=True))
    assert len(dict(found)) == len(found)
    return dict(found)


def test_each_status_has_its_own_partition(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path / "out"))
    with store.opened(HEAD, resume=False):
        counts = store.write(rows_of([item("a"), item("b"), item("c")], "screened", "failed", "refused"))
    assert counts == {"screened": 1, "refused": 1, "failed": 1}
    assert everything(tmp_path / "out") == {"/in/a": "screened", "/in/b": "failed", "/in/c": "refused"}
    (file,) = (tmp_path / "out" / "results" / "status=failed").iterdir()
    schema = pq.ParquetFile(file).schema_arrow
    assert schema.equals(SCHEMA)
    assert schema.metadata[b"cxrscreen.schema"] == b"1"


def test_a_shard_that_is_written_twice_is_there_once(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened(HEAD, resume=False):
        for _ in range(2):
            store.write(rows_of([item("a"), item("b")], "screened", "screened"))
    assert len(everything(tmp_path)) == 2


def test_a_file_is_hidden_until_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultStore(str(tmp_path))
    seen: list[dict[str, str]] = []
    replace = os.replace

    def watched(part: str, path: str) -> None:
        if path.endswith(".parquet"):
            seen.append(everything(tmp_path))
        replace(part, path)

    monkeypatch.setattr("os.replace", watched)
    with store.opened(HEAD, resume=False):
        store.write(rows_of([item("a")], "screened"))
    assert seen == [{}]
    assert everything(tmp_path) == {"/in/a": "screened"}


def test_what_a_kill_leaves_half_written_does_not_count(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened(HEAD, resume=False):
        store.write(rows_of([item("a")], "screened"))
    half = tmp_path / "results" / "status=screened" / ".feed.parquet.part"
    half.write_bytes(b"PAR1 half")
    assert everything(tmp_path) == {"/in/a": "screened"}
    with store.opened(HEAD, resume=True):
        left, kept = store.unfinished([item("a"), item("b")])
    assert [item.location for item in left] == ["/in/b"]
    assert kept == {"screened": 1, "refused": 0, "failed": 0}
    assert not half.exists()


def test_finished_files_stay_failed_and_changed_ones_are_done_again(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    old = [item("good"), item("changed"), item("bad"), item("side"), item("unnamed")]
    with store.opened(HEAD, resume=False):
        store.write(rows_of(old, "screened", "screened", "failed", "refused", "failed"))
    with store.opened(HEAD, resume=True):
        left, kept = store.unfinished([item("good"), item("changed", "2-2"), item("bad"), item("side"), item("new")])
    assert [item.location for item in left] == ["/in/changed", "/in/bad", "/in/new"]
    assert kept == {"screened": 1, "refused": 1, "failed": 1}
    # Until the work can begin the old rows say more than none.
    assert len(everything(tmp_path)) == 5
    with store.opened(HEAD, resume=True):
        store.take_out(left)
    # Their rows are gone before the new ones come; what is not named this time stays.
    assert everything(tmp_path) == {"/in/good": "screened", "/in/side": "refused", "/in/unnamed": "failed"}
    with store.opened(HEAD, resume=True):
        store.write(rows_of(left, "screened", "failed", "screened"))
    assert len(everything(tmp_path)) == 6


def test_files_that_are_not_there_cost_no_row(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened(HEAD, resume=False):
        store.write(rows_of([item("a"), item("b"), item("c")], "screened", "refused", "failed"))
    # Their drive is not mounted: a file that cannot be asked has no stamp.
    gone = [item(name, "") for name in ("a", "b", "c", "new")]
    with store.opened(HEAD, resume=True):
        left, kept = store.unfinished(gone)
        store.take_out(left)
    assert [each.location for each in left] == ["/in/c", "/in/new"]
    assert kept == {"screened": 1, "refused": 1, "failed": 0}
    assert everything(tmp_path) == {"/in/a": "screened", "/in/b": "refused"}


def test_a_file_that_has_rows_in_two_partitions_keeps_one(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened(HEAD, resume=False):
        store.write(rows_of([item("a"), item("b")], "screened", "screened"))
        store.write(rows_of([item("a")], "refused"))
        left, _ = store.unfinished([item("a")])
        store.take_out([item("a")])
    assert left == []
    assert everything(tmp_path) == {"/in/a": "screened", "/in/b": "screened"}


def test_results_are_not_mixed_and_not_thrown_away(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened(HEAD, resume=False):
        store.write(rows_of([item("a")], "screened"))
        with pytest.raises(OutputError, match="Another run is writing"), store.opened(HEAD, resume=True):
            pass
    with pytest.raises(OutputError, match="holds results already"), store.opened(HEAD, resume=False):
        pass
    with pytest.raises(OutputError, match="another bundle"), store.opened({"bundle": "other@1"}, resume=True):
        pass
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(OutputError, match="another bundle"), store.opened(HEAD, resume=True):
        pass
    (tmp_path / "run.json").unlink()
    with pytest.raises(OutputError, match="lack run.json"), store.opened(HEAD, resume=True):
        pass
    assert len(everything(tmp_path)) == 1


def test_a_run_that_got_no_row_binds_nobody(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    for head in (HEAD, {"bundle": "other@1"}):
        # As where the cluster was not reached.
        with pytest.raises(RuntimeError), store.opened(head, resume=False):
            raise RuntimeError("no cluster")
    with store.opened(HEAD, resume=True):
        store.write(rows_of([item("a")], "failed"))
    assert json.loads((tmp_path / "run.json").read_text())["bundle"] == "cascade@test"


@pytest.mark.parametrize("content", [b"PAR1 half of it", b"", b"other"])
def test_a_damaged_results_file_is_named_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened(HEAD, resume=False):
        store.write(rows_of([item("a")], "screened"))
    (file,) = (tmp_path / "results" / "status=screened").iterdir()
    if content == b"other":
        pq.write_table(pa.table({"name": ["of somebody"]}), file)
    else:
        file.write_bytes(content)
    with store.opened(HEAD, resume=True), pytest.raises(OutputError, match=f"status=screened/{file.name} .*damaged"):
        store.unfinished([item("a")])


def test_a_column_that_an_older_version_did_not_write_is_no_damage(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    with store.opened(HEAD, resume=False):
        store.write(rows_of([item("a"), item("b")], "screened", "screened"))
    (file,) = (tmp_path / "results" / "status=screened").iterdir()
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["quality"]), file)
    with store.opened(HEAD, resume=True):
        left, kept = store.unfinished([item("a"), item("b", "2-2")])
    assert ([item.location for item in left], kept["screened"]) == (["/in/b"], 1)


def test_what_a_driver_raises_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class DriverError(Exception):
        pass

    def refused(*_: object, **__: object) -> None:
        raise DriverError("key geheim is not allowed")

    store = ResultStore("memory://refused")
    try:
        with store.opened(HEAD, resume=False):
            store.write(rows_of([item("a")], "failed"))
            for method, use in {
                "pipe_file": lambda: store.write(rows_of([item("b")], "failed")),
                "ls": lambda: store.unfinished([item("a")]),
                "open": lambda: store.unfinished([item("a")]),
                "rm_file": lambda: store.take_out([item("a")]),
            }.items():
                with monkeypatch.context() as patched:
                    patched.setattr(type(fsspec.filesystem("memory")), method, refused)
                    with pytest.raises(OutputError, match="DriverError") as told:
                        use()
                assert "geheim" not in str(told.value)
    finally:
        fsspec.filesystem("memory").rm("/refused", recursive=True)


def test_a_fault_of_the_work_is_not_called_one_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="of the work"), ResultStore(str(tmp_path)).opened(HEAD, resume=False):
        raise ConnectionError("of the work")


def test_a_file_system_without_locks_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with ResultStore(str(tmp_path)).opened(HEAD, resume=False):
        pass


def test_an_output_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with (
        pytest.raises(OutputError, match="could not be written"),
        ResultStore(str(tmp_path / "file")).opened({}, resume=False),
    ):
        pass
    with pytest.raises(OutputError, match="cannot be opened"):
        ResultStore("nowhere://bucket")


def test_an_object_store_holds_results_as_well() -> None:
    store = ResultStore("memory://screened")
    try:
        with store.opened(HEAD, resume=False):
            store.write(rows_of([item("a"), item("b")], "screened", "failed"))
        with store.opened(HEAD, resume=True):
            left, kept = store.unfinished([item("a"), item("b"), item("c")])
        assert [item.location for item in left] == ["/in/b", "/in/c"]
        assert kept == {"screened": 1, "refused": 0, "failed": 0}
        assert json.loads(fsspec.filesystem("memory").cat_file("/screened/run.json"))["schema"] == "1"
    finally:
        fsspec.filesystem("memory").rm("/screened", recursive=True)
