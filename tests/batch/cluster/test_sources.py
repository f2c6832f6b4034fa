"""Whatever names a radiograph, it is listed once; what cannot be listed says why."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import fsspec
import pytest

from cxrscreen.batch.cluster.fetch import fetched
from cxrscreen.batch.cluster.items import Item
from cxrscreen.batch.cluster.objects import SourceError, stamp_in
from cxrscreen.batch.cluster.sources import items_of
from cxrscreen.batch.cluster.store import ResultStore
from cxrscreen.batch.cluster.table import table_of
from cxrscreen.errors import ManifestError, UnreadableImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(name.encode())
    return tmp_path / "in"


@pytest.fixture
def bucket() -> Iterator[str]:
    files = fsspec.filesystem("memory")
    files.pipe({"/archive/1.dcm": b"one", "/archive/sub/2.dcm": b"two", "/archive/.hidden/3.dcm": b"three"})
    yield "memory://archive"
    files.rm("/archive", recursive=True)


def names(items: Sequence[Item]) -> list[str]:
    return [item.location.rsplit("/", 1)[-1] for item in items]


def test_a_file_that_is_named_in_four_ways_is_listed_once(folder: Path) -> None:
    (folder.parent / "link.png").symlink_to(folder / "a.png")
    named = [str(folder), str(folder / "a.png"), f"file://{folder}/a.png", str(folder.parent / "link.png")]
    items = items_of([*named, str(folder / "*.png")])
    assert [Path(item.location).name for item in items] == ["a.png", "b.png"]
    assert {item.kind for item in items} == {"file"}
    assert items[0].stamp.startswith("5-")


def test_a_name_that_matches_nothing_stays_and_fails_later(folder: Path) -> None:
    (item,) = items_of([str(folder / "gone.png")])
    assert item.stamp == ""


def test_what_lies_in_the_output_is_no_radiograph(folder: Path) -> None:
    rows = folder / "results" / "status=screened"
    rows.mkdir(parents=True)
    (rows / "x.parquet").write_bytes(b"rows")
    assert len(items_of([str(folder)])) == 3
    (folder / "run.json").touch()
    assert [Path(item.location).name for item in items_of([str(folder)])] == ["a.png", "b.png"]


def test_results_in_an_object_store_are_no_radiographs(bucket: str) -> None:
    store = ResultStore(f"{bucket}/sub")
    with store.opened({}, resume=False):
        store.write(table_of([{"key": "k", "shard": "feed", "status": "failed"}]))
    named = [bucket, f"{bucket}/*", f"{bucket}/sub/results/*", f"{bucket}/sub/run.json"]
    for source in named[:2]:
        assert names(items_of([source])) == ["1.dcm", "2.dcm"]
    for source in named[2:]:
        assert items_of([source]) == []
    fsspec.filesystem("memory").pipe("/archive/run.json", b"of somebody")
    assert "run.json" in names(items_of([bucket]))


def test_a_pattern_may_match_folders(bucket: str) -> None:
    assert names(items_of([f"{bucket}/s*"])) == ["2.dcm"]
    assert names(items_of([f"{bucket}/**"])) == ["1.dcm", "2.dcm"]
    assert names(items_of([f"{bucket}/*"])) == ["1.dcm", "2.dcm"]


def test_what_is_hidden_is_listed_where_it_is_named(bucket: str) -> None:
    for source in (f"{bucket}/.hidden", f"{bucket}/.hidden/3.dcm", f"{bucket}/.hidden/*.dcm", f"{bucket}/.h*/*"):
        assert names(items_of([source])) == ["3.dcm"]
    assert names(items_of([f"{bucket}/*/*.dcm"])) == ["2.dcm"]


def test_a_prefix_that_gives_nothing_stays_and_fails_later(bucket: str) -> None:
    fsspec.filesystem("memory").pipe("/archive/bare/.inside/4.dcm", b"four")
    for source in (f"{bucket}/gone/", f"{bucket}/gone*", f"{bucket}/bare"):
        assert [item.location for item in items_of([source])] == [source]


def test_objects_are_listed_stamped_and_fetched(bucket: str) -> None:
    items = items_of([bucket, "memory://archive/1.dcm", "memory://archive/*.dcm"])
    assert [item.location for item in items] == ["memory:///archive/1.dcm", "memory:///archive/sub/2.dcm"]
    assert [item.size for item in items] == [3, 3]
    assert items[0].stamp.startswith("3-")
    with fetched(items[1]) as path:
        assert path.read_bytes() == b"two"
        assert path.stat().st_size == 3
        assert "2.dcm" not in str(path)
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="kept in memory on Linux alone")
def test_what_was_fetched_does_not_outlive_a_killed_worker(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a radiograph was written to a folder")

    monkeypatch.setattr("tempfile.mkdtemp", refused)
    with fetched(items_of([bucket])[0]) as path:
        assert path.read_bytes() == b"one"
        assert "memfd:" in str(path.readlink())


def test_an_object_that_vanished_is_one_failed_file(bucket: str) -> None:
    item = items_of([bucket])[0]
    fsspec.filesystem("memory").rm("/archive/1.dcm")
    with pytest.raises(UnreadableImageError, match=r"1\.dcm does not exist"), fetched(item):
        pass


def test_an_object_that_is_far_too_large_is_not_fetched(bucket: str) -> None:
    item = items_of([bucket])[0]
    large = type(item)(item.key, item.kind, item.location, item.stamp, 2**40)
    with pytest.raises(UnreadableImageError, match="far too large"), fetched(large):
        pass


def test_a_changed_object_has_another_stamp() -> None:
    assert stamp_in({"size": 3, "ETag": "x"}) != stamp_in({"size": 3, "ETag": "y"})
    assert stamp_in({"size": 3}) == "3"


def test_a_manifest_names_files_beside_it_and_urls(folder: Path, bucket: str) -> None:
    manifest = folder.parent / "archive.csv"
    rows = ["1,in/a.png,ours,unknown", "2,memory://archive/1.dcm,ours,unknown", "3,in/a.png,ours,unknown"]
    manifest.write_text("\n".join(["image_id,path,source,label", *rows]), encoding="utf-8")
    items = items_of([str(manifest), str(folder)])
    assert [item.location.rsplit("/", 1)[-1] for item in items] == ["a.png", "1.dcm", "b.png"]
    manifest.write_text("path\nin/a.png\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="lacks the column"):
        items_of([str(manifest)])


def test_a_secret_in_an_address_is_refused_and_not_repeated() -> None:
    for address in ("s3://key:geheim@bucket/x", "dicomweb+https://me:geheim@archive/dicom-web"):
        with pytest.raises(SourceError, match="holds a password") as refused:
            items_of([address])
        assert "geheim" not in str(refused.value)
    with pytest.raises(SourceError, match="holds a user"):
        items_of(["dicomweb+https://me@archive/dicom-web"])


@pytest.mark.parametrize(
    "address",
    [
        "https://host/1.dcm?X-Amz-Signature=geheim",
        "https://account.blob.core.windows.net/c/1.dcm?sv=1&sig=geheim",
        "https://geheim@host/1.dcm",
        "simplecache::https://host/1.dcm?sig=geheim",
        "zip://1.dcm::s3://key:geheim@bucket/archive.zip",
        "s3://key:geheim@b[u/x",
    ],
)
def test_a_secret_is_refused_wherever_it_stands(address: str) -> None:
    with pytest.raises(SourceError) as refused:
        items_of([address])
    assert "geheim" not in str(refused.value)
    with pytest.raises(SourceError) as refused:
        ResultStore(address)
    assert "geheim" not in str(refused.value)


def test_an_address_that_is_no_url_is_one_sentence() -> None:
    for address in ("s3://b[u/x", "dicomweb+https://b[u/x"):
        with pytest.raises(SourceError, match=r"starts with .*:// is no URL: check the brackets"):
            items_of([address])


def test_a_store_without_its_driver_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(SourceError, match="s3:// needs a driver that is not installed"):
        items_of(["s3://bucket/x"])
