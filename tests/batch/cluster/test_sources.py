"""Whatever names a radiograph, it is listed once; what cannot be listed says why."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from cxrscreen.batch.cluster.fetch import fetched
from cxrscreen.batch.cluster.objects import SourceError, stamp_in
from cxrscreen.batch.cluster.sources import items_of
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
    (folder / "out" / "results").mkdir(parents=True)
    (folder / "out" / "results" / "x.parquet").write_bytes(b"rows")
    assert len(items_of([str(folder)], without=folder / "out")) == 2
    assert len(items_of([str(folder)])) == 3


def test_objects_are_listed_stamped_and_fetched(bucket: str) -> None:
    items = items_of([bucket, "memory://archive/1.dcm", "memory://archive/*.dcm"])
    assert [item.location for item in items] == ["memory:///archive/1.dcm", "memory:///archive/sub/2.dcm"]
    assert [item.size for item in items] == [3, 3]
    assert items[0].stamp.startswith("3-")
    with fetched(items[1]) as path:
        assert path.read_bytes() == b"two"
        assert path.name == items[1].key
    assert not path.exists()


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


def test_a_store_without_its_driver_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(SourceError, match="s3:// needs a driver that is not installed"):
        items_of(["s3://bucket/x"])
