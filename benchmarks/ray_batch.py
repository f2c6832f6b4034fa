"""Whether a batch on Ray scales and survives: two nodes against one, and a node killed in the middle.

    python benchmarks/ray_batch.py [--count 2000] [--folder FOLDER] [--out ray_batch.json] [PART ...]

Draws COUNT phantoms (or takes FOLDER), starts Ray nodes on this machine with one core each, that no other node may use,
and screens the images there. Parts: ``throughput`` and ``kill``; all where none is named. Needs two cores that do
nothing else, and ``pip install 'cxrscreen[ray]'``. Writes a JSON file; ``benchmarks/scale_plan.py`` reads it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import pyarrow.dataset as ds
from ray.cluster_utils import Cluster

GOAL = 1.7
"""Throughput of two nodes, at least, as a multiple of one."""
PAUSE = 0.5
STORE = 128 * 2**20
COMPLETE = (0, 1, 3)
"""Exit codes of a run that came to its end; single files may have failed or been refused."""


def main() -> None:
    """Run the parts and write what they came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="throughput, kill")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--shard", type=int, default=25)
    parser.add_argument("--out", type=Path, default=Path("ray_batch.json"))
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("Two nodes need two cores.")
    with tempfile.TemporaryDirectory() as work:
        images = given.folder or drawn(Path(work) / "phantoms", given.count)
        found: dict[str, Any] = {"images": given.count, "shard": given.shard, "cores": len(cores)}
        asked = given.parts or ["throughput", "kill"]
        if "throughput" in asked:
            one = batch(images, Path(work) / "one", cores[:1], given.shard)
            two = batch(images, Path(work) / "two", cores[:2], given.shard)
            ratio = two["images_a_second"] / one["images_a_second"]
            found["throughput"] = {"one": one, "two": two, "ratio": round(ratio, 3), "held": ratio >= GOAL}
        if "kill" in asked:
            killed = batch(images, Path(work) / "kill", cores[:2], given.shard, kill_at=given.count // 2)
            found["kill"] = killed | {"held": killed["rows"] == killed["keys"] == given.count}
        text = json.dumps(found, indent=1) + "\n"
        given.out.write_text(text, encoding="utf-8")
        sys.stdout.write(text)


def drawn(folder: Path, count: int) -> Path:
    """Draw phantoms with the project's own command."""
    command = [sys.executable, "-m", "cxrscreen", "phantoms", str(folder), "--count", str(count)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return folder / "images"


def batch(images: Path, out: Path, cores: Sequence[int], shard: int, *, kill_at: int | None = None) -> dict[str, Any]:
    """Screen a folder on one node for each core; the last node is killed when so many rows are written."""
    with nodes(cores) as (address, kill):
        command = [sys.executable, "-m", "cxrscreen", "screen", str(images), "--on", "ray", "--address", address]
        begun = time.perf_counter()
        process = subprocess.Popen([*command, "--out", str(out), "--shard", str(shard)], stderr=subprocess.DEVNULL)
        seen: list[tuple[float, int]] = []
        killed_at = None
        while process.poll() is None:
            rows = rows_in(out)
            if rows > (seen[-1][1] if seen else 0):
                seen.append((time.perf_counter() - begun, rows))
            if kill_at is not None and killed_at is None and rows >= kill_at:
                kill()
                killed_at = rows
            time.sleep(PAUSE)
        seconds = time.perf_counter() - begun
    if process.returncode not in COMPLETE or not seen:
        raise SystemExit(f"cxrscreen screen ended with exit code {process.returncode}; run it by hand to see why.")
    results = ds.dataset(out / "results", partitioning="hive").to_table(columns=["key", "status"])
    (first, before), (last, after) = seen[0], seen[-1]
    statuses = results["status"].to_pylist()
    return {
        "nodes": len(cores),
        "rows": results.num_rows,
        "keys": len(set(results["key"].to_pylist())),
        "failed": statuses.count("failed"),
        "refused": statuses.count("refused"),
        "killed_at": killed_at,
        "exit_code": process.returncode,
        "seconds_to_first_rows": round(first, 2),
        "seconds": round(seconds, 2),
        # Of what came after the first rows, so that the start does not count.
        "images_a_second": round((after - before) / max(last - first, PAUSE), 4),
    }


@contextmanager
def nodes(cores: Sequence[int]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Start a head without cores for work, and a node bound to each core; give the address and what kills the last."""
    everywhere = os.sched_getaffinity(0)
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        started = []
        for core in cores:
            # What a node starts inherits the core.
            os.sched_setaffinity(0, {core})
            started.append(cluster.add_node(num_cpus=1, object_store_memory=STORE))
        os.sched_setaffinity(0, everywhere)
        yield cluster.address, lambda: cluster.remove_node(started[-1], allow_graceful=False)
    finally:
        os.sched_setaffinity(0, everywhere)
        cluster.shutdown()


def rows_in(out: Path) -> int:
    """Rows that a reader sees now."""
    if not (out / "results").is_dir():
        return 0
    return int(ds.dataset(out / "results", partitioning="hive", format="parquet").count_rows())


if __name__ == "__main__":
    main()
