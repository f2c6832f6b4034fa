"""A real cluster of this machine: rows come back, an engine that is missing is one sentence, nothing is sent home."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from cxrscreen.batch.cluster.one_file import Asked
from cxrscreen.batch.run import Options
from cxrscreen.runtime.engine import EngineSettings

pytest.importorskip("ray", reason="Ray is an extra: pip install 'cxrscreen[ray]'")
ds = pytest.importorskip("pyarrow.dataset")

pytestmark = pytest.mark.services

EXAMPLES = Path(__file__).parents[3] / "examples"


def screen(out: Path, *sources: object, options: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cxrscreen", "screen", *map(str, sources), "--out", str(out), "--on", "ray"]
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [*command, "--jobs", "1", *options], check=False, capture_output=True, text=True, timeout=900, env=without
    )


def test_a_batch_is_screened_and_goes_on_with_what_is_new(tmp_path: Path) -> None:
    images = sorted(EXAMPLES.glob("*.png"))[:2]
    assert len(images) == 2
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    first = screen(tmp_path / "out", images[0], images[0], broken)
    assert first.returncode == 1, first.stderr
    assert "1 screened, 0 refused, 1 failed" in first.stderr
    # Nothing of Ray, of a library or of a file's name is on the terminal.
    assert "raylet" not in first.stderr
    second = screen(tmp_path / "out", *images, options=("--resume",))
    assert second.returncode == 1, second.stderr
    assert "Finished by an earlier run: 1 of 2 files." in second.stderr
    table = ds.dataset(tmp_path / "out" / "results", partitioning="hive").to_table()
    assert Counter(table["source"].to_pylist()) == Counter([str(path) for path in (*images, broken)])
    rows = {row["source"]: row for row in table.to_pylist()}
    assert rows[str(broken)]["status"] == "failed"
    assert rows[str(images[0])]["stages"][0]["threshold"] > 0
    assert rows[str(images[0])]["engine"] == "openvino f32"
    again = screen(tmp_path / "out", *images)
    assert again.returncode == 2
    assert "holds results already" in " ".join(again.stderr.split())


KILLER = """
import os, sys, time
from cxrscreen.batch.cluster import on_ray as place
from cxrscreen.batch.cluster.items import Item, key_of, unpacked
from cxrscreen.batch.cluster.shards import shards_of
from cxrscreen.batch.cluster.table import table_of

class Worker:
    def __init__(self, work):
        pass

    def __call__(self, shard):
        (item,) = unpacked(shard["items"][0].as_py())
        if "poison" in item.location:
            # Until what follows it would wait here too.
            time.sleep(0.3)
            os._exit(1)
        return table_of([{"key": item.key, "source": item.location, "status": "screened"}])

place.Worker = Worker
# One attempt, so that one death would be the end of both.
place._RETRIES = 0
names = ["poison.dcm", "innocent.dcm"]
shards = shards_of([Item(key_of(name), "file", name) for name in names], 1)
with place.connected(None, 1) as workers:
    for rows in place.on_ray(shards, None, workers=workers):
        sys.stdout.write(f"\\nscreened: {rows['source'].to_pylist()}\\n")
"""


def test_a_file_that_ends_its_worker_takes_no_other_with_it() -> None:
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    told = subprocess.run(
        [sys.executable, "-c", KILLER], check=True, capture_output=True, text=True, timeout=600, env=without
    )
    # Ray itself tells of the death there too.
    screened = [line for line in told.stdout.splitlines() if line.startswith("screened: ")]
    assert screened == ["screened: ['innocent.dcm']"]


def test_nothing_waits_behind_a_shard_of_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from cxrscreen.batch.cluster import on_ray as place
    from cxrscreen.batch.cluster.items import Item, key_of
    from cxrscreen.batch.cluster.shards import shards_of

    items = [Item(key_of(name), "file", name) for name in "abc"]
    asked = MagicMock()
    monkeypatch.setattr(place.ray.data, "from_items", asked)
    work = place.Work("cascade", EngineSettings(threads=1), Asked("cascade@test", "0", Options()))
    for size, in_flight in ((1, 1), (2, 2)):
        list(place.on_ray(shards_of(items, size), work, workers=2))
        pool = asked.return_value.map_batches.call_args.kwargs["compute"]
        assert pool.max_tasks_in_flight_per_actor == in_flight


def test_memory_that_no_node_has_is_one_sentence() -> None:
    from cxrscreen.batch.cluster.on_ray import check_memory
    from cxrscreen.batch.cluster.rounds import ClusterError

    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0, "memory": 3.0 * 2**30}},
        {"Alive": True, "Resources": {"memory": 9.0 * 2**30}},
        {"Alive": False, "Resources": {"CPU": 2.0, "memory": 9.0 * 2**30}},
    ]
    check_memory(3 * 2**30, nodes)
    with pytest.raises(ClusterError, match="has 4096 MiB for a worker, the most is 3072 MiB: give a smaller --memory"):
        check_memory(4 * 2**30, nodes)
    with pytest.raises(ClusterError):
        check_memory(1, [])


def test_ray_is_told_to_send_nothing_home() -> None:
    program = "import os, cxrscreen.batch.cluster.on_ray; print(os.environ['RAY_USAGE_STATS_ENABLED'])"
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=without)
    assert told.stdout.strip() == "0"


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    images = sorted(EXAMPLES.glob("*.png"))[:1]
    result = screen(tmp_path / "out", *images, options=("--address", "127.0.0.1:9"))
    assert result.returncode == 2
    assert "No Ray cluster answers at 127.0.0.1:9" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
