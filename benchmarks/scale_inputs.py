"""Measure what ``benchmarks/scale_plan.py`` reckons with: what one image takes, and what one listed file takes.

    python benchmarks/scale_inputs.py FOLDER [--count 40] [--ray ray_batch.json] [--out docs/scale-measured.json]

Screens COUNT files of FOLDER, spread evenly over it, with the worker of ``cxrscreen screen --on ray``, on one core in
this process, and counts processor time, so that other work on the machine matters little; FOLDER holds radiographs and
nothing else, since a file that cannot be screened would count as a cheap one. ``steps`` are the seconds of an image by
step. Needs ``pip install 'cxrscreen[ray]'``. The efficiency of several nodes is that of ``benchmarks/ray_batch.py``;
without its file it is 1, which is an assumption, and the output says so.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
import tracemalloc
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from screen_speed import spread

from cxrscreen import __version__
from cxrscreen.batch.cluster.items import Item, key_of, packed
from cxrscreen.batch.cluster.on_ray import Work, Worker
from cxrscreen.batch.cluster.one_file import Asked
from cxrscreen.batch.cluster.shards import LARGEST, shards_of
from cxrscreen.batch.cluster.sources import items_of
from cxrscreen.batch.cluster.store import ResultStore
from cxrscreen.batch.run import Options
from cxrscreen.runtime.engine import EngineSettings, with_precision
from cxrscreen.systems.bundle import open_bundle

LISTED = 20_000


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--bundle", default="cascade")
    parser.add_argument("--ray", type=Path)
    parser.add_argument("--out", type=Path, default=Path("scale-measured.json"))
    given = parser.parse_args()
    command = f"python benchmarks/scale_inputs.py {given.folder} --count {given.count} --bundle {given.bundle}"
    values = screening(spread(given.folder, given.count), given.bundle) | {"listing_bytes": listing()}
    found: dict[str, Any] = {name: {"value": value, "command": command} for name, value in values.items()}
    if given.ray is None:
        found["efficiency"] = {"value": 1.0, "command": "assumed; measure it with python benchmarks/ray_batch.py"}
    else:
        ratio = json.loads(given.ray.read_text(encoding="utf-8"))["throughput"]["ratio"]
        found["efficiency"] = {"value": min(1.0, ratio / 2), "command": "python benchmarks/ray_batch.py throughput"}
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def screening(files: list[Path], bundle: str) -> dict[str, Any]:
    """Screen files on one core: processor seconds an image, seconds by step, bytes read and written, memory."""
    if len(files) < 2:
        raise SystemExit("The folder needs two radiographs at least: the first one pays for what is made once.")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    card = open_bundle(bundle).card
    asked = Asked(card.bundle_id, __version__, Options(explain=False, pictures="none"))
    worker = Worker(Work(bundle, with_precision(EngineSettings(threads=1), card.results), asked))
    tables, seconds = [], []
    for file in files:
        (shard,) = shards_of([Item(key_of(str(file)), "file", str(file.absolute()))], 1)
        start = time.process_time()
        tables.append(worker(pa.table({"shard": ["measured"], "items": [packed(shard.items)]})))
        seconds.append(time.process_time() - start)
    rows = pa.concat_tables(tables)
    failed = [error for error in rows["error"].to_pylist() if error is not None]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(files)} files failed: give a folder of radiographs. {failed[0]}")
    steps: dict[str, list[float]] = defaultdict(list)
    for timings in rows["timings"].to_pylist()[1:]:
        for name, value in timings:
            steps[name].append(value)
    with tempfile.TemporaryDirectory() as folder:
        store = ResultStore(folder)
        with store.opened({}, resume=False):
            store.write(rows)
        written = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
    return {
        # The mean is what a sum of many needs; the first image also pays for what is made once.
        "core_seconds": round(statistics.mean(seconds[1:]), 4),
        "steps": {name: round(sum(values) / (len(files) - 1), 4) for name, values in steps.items()},
        "refused": rows["status"].to_pylist().count("refused"),
        "image_bytes": round(statistics.mean(file.stat().st_size for file in files)),
        "row_bytes": round(written / len(files)),
        "worker_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def listing() -> float:
    """Memory that one listed file takes with its part of a packed shard, from a folder of many empty ones."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(LISTED):
            (Path(folder) / f"{number:08d}.dcm").touch()
        tracemalloc.start()
        items = items_of([folder])
        tasks = [{"shard": shard.name, "items": packed(shard.items)} for shard in shards_of(items, LARGEST)]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del tasks
    return round(peak / len(items))


if __name__ == "__main__":
    main()
