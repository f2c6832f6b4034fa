"""``cxrscreen screen --on ray`` up to the cluster, which answers here in this process."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cxrscreen.batch.cluster.shards import Shard
from cxrscreen.batch.cluster.table import table_of
from cxrscreen.cli.app import app
from cxrscreen.errors import CxrscreenError
from cxrscreen.systems.bundle import open_bundle

Cxrscreen = Callable[..., Result]


@pytest.fixture
def asked() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def cxrscreen(monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]) -> Cxrscreen:
    """Ray itself is not imported: a module of that name gives a row a file, by the file's name."""

    class Work:
        def __init__(self, bundle: str, engine: object, about: Any) -> None:
            self.about = about
            asked.append({"bundle": bundle, "engine": engine, "options": about.options})

    @contextmanager
    def connected(address: str | None, workers: int | None) -> Iterator[int]:
        asked[-1] |= {"address": address, "workers": workers}
        yield workers or 2

    def on_ray(shards: Sequence[Shard], work: Work, *, workers: int, memory: int | None) -> Iterator[pa.Table]:
        asked[-1] |= {"memory": memory, "sizes": [len(shard.items) for shard in shards]}
        for shard in shards:
            yield table_of(
                [
                    {"key": item.key, "source": item.location, "stamp": item.stamp, "shard": shard.name}
                    | {"status": Path(item.location).stem.rstrip("0123456789")}
                    for item in shard.items
                ]
            )

    ray = ModuleType("cxrscreen.batch.cluster.on_ray")
    ray.__dict__.update(Work=Work, connected=connected, on_ray=on_ray)
    monkeypatch.setitem(sys.modules, "cxrscreen.batch.cluster.on_ray", ray)
    return lambda *arguments: CliRunner().invoke(app, ["screen", *map(str, arguments)])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("screened1", "screened2", "refused1"):
        (tmp_path / "in" / f"{name}.png").write_bytes(b"image")
    return tmp_path / "in"


def test_results_are_parquet_and_the_counts_are_told(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    options = ("--on", "ray", "--address", "head:6379", "--jobs", "3", "--memory", "2", "--shard", "2")
    result = cxrscreen(images, images / "screened1.png", "--out", tmp_path / "out", *options)
    assert result.exit_code == 3, result.output
    assert "2 screened, 1 refused, 0 failed. Results:" in result.stderr
    assert "Research use only" in result.stderr
    assert ds.dataset(tmp_path / "out" / "results", partitioning="hive").count_rows() == 3
    (one,) = asked
    assert (one["address"], one["workers"], one["memory"], one["sizes"]) == ("head:6379", 3, 2 * 2**20, [2, 1])
    # Each worker has one core; without pictures no maps are made for them.
    assert one["engine"].threads == 1
    assert (one["options"].pictures, one["options"].explain) == ("none", False)
    assert one["options"].engine == "openvino f32"


def test_a_run_goes_on_with_what_is_left(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    (images / "failed1.png").write_bytes(b"image")
    assert cxrscreen(images, "--out", tmp_path / "out", "--on", "ray").exit_code == 1
    (images / "failed1.png").rename(images / "screened3.png")
    result = cxrscreen(images, "--out", tmp_path / "out", "--on", "ray", "--resume", "--shard", "9")
    assert "Finished by an earlier run: 3 of 4 files." in result.stderr
    assert asked[-1]["sizes"] == [1]
    assert cxrscreen(images, "--out", tmp_path / "out", "--on", "ray", "--resume").exit_code == 1
    assert len(asked) == 2
    other = cxrscreen(images, "--out", tmp_path / "out", "--on", "ray", "--resume", "--force")
    assert other.exit_code == 2
    assert "another bundle, other options" in " ".join(other.stderr.split())


def test_the_results_may_lie_in_the_folder_of_the_radiographs(cxrscreen: Cxrscreen, images: Path) -> None:
    assert cxrscreen(images, "--out", images, "--on", "ray").exit_code == 3
    again = cxrscreen(images, "--out", images, "--on", "ray", "--resume")
    assert again.exit_code == 3
    assert "Finished by an earlier run: 3 of 3 files." in again.stderr
    assert ds.dataset(images / "results", partitioning="hive").count_rows() == 3


def test_a_corrected_address_goes_on_where_nothing_was_screened(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(address: str | None, workers: int | None) -> None:
        raise CxrscreenError("No Ray cluster answers.")

    with monkeypatch.context() as wrong:
        wrong.setattr(sys.modules["cxrscreen.batch.cluster.on_ray"], "connected", unreachable)
        assert cxrscreen(images, "--out", tmp_path / "out", "--on", "ray", "--address", "haed:6379").exit_code == 2
    assert cxrscreen(images, "--out", tmp_path / "out", "--on", "ray", "--address", "head:6379").exit_code == 3


def test_rows_of_failed_files_stay_until_the_work_can_begin(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(address: str | None, workers: int | None) -> None:
        raise CxrscreenError("No Ray cluster answers.")

    (images / "failed1.png").write_bytes(b"image")
    assert cxrscreen(images, "--out", tmp_path / "out", "--on", "ray").exit_code == 1
    rows = ds.dataset(tmp_path / "out" / "results", partitioning="hive").count_rows()
    with monkeypatch.context() as wrong:
        wrong.setattr(sys.modules["cxrscreen.batch.cluster.on_ray"], "connected", unreachable)
        assert cxrscreen(images, "--out", tmp_path / "out", "--on", "ray", "--resume").exit_code == 2
    assert ds.dataset(tmp_path / "out" / "results", partitioning="hive").count_rows() == rows == 4


def test_a_bundles_folder_is_absolute_and_a_shipped_one_keeps_its_name(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = open_bundle("cascade").folder.parent
    cxrscreen(images, "--out", tmp_path / "one", "--on", "ray", "--bundle", "cascade")
    monkeypatch.chdir(shelf)
    cxrscreen(images, "--out", tmp_path / "two", "--on", "ray", "--bundle", "./cascade")
    assert [one["bundle"] for one in asked] == ["cascade", str(shelf / "cascade")]


def test_a_secret_in_the_output_is_refused_and_not_repeated(cxrscreen: Cxrscreen, images: Path) -> None:
    result = cxrscreen(images, "--out", "s3://KEY:geheim@bucket/x", "--on", "ray")
    assert result.exit_code == 2
    assert "holds a password" in " ".join(result.stderr.split())
    assert "geheim" not in result.output


def test_nothing_found_is_exit_code_2(cxrscreen: Cxrscreen, tmp_path: Path) -> None:
    manifest = tmp_path / "empty.csv"
    manifest.write_text("image_id,path,source,label\n")
    result = cxrscreen(manifest, "--out", tmp_path / "out", "--on", "ray")
    assert result.exit_code == 2
    assert "No image was found" in result.stderr


def test_pictures_need_a_folder(cxrscreen: Cxrscreen, images: Path) -> None:
    result = cxrscreen(images, "--out", "memory://results", "--on", "ray", "--pictures", "small")
    assert result.exit_code == 2
    assert "Pictures need a folder" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("in.png", "--address", "head:6379"), "--address and --shard are for batches on Ray"),
        (("in.png", "--shard", "8"), "--address and --shard are for batches on Ray"),
        (("s3://bucket/in",), "s3:// is read and written by batches on Ray"),
    ],
)
def test_what_is_for_ray_alone_says_so(
    cxrscreen: Cxrscreen, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = cxrscreen(*options, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_a_missing_extra_is_one_sentence(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cxrscreen.batch.cluster.on_ray", None)
    result = cxrscreen(images, "--out", tmp_path / "out", "--on", "ray")
    assert result.exit_code == 2
    assert "pip install 'cxrscreen[ray]'" in " ".join(result.stderr.split())
