"""Measure what ``benchmarks/scale_plan.py`` reckons with: what one image takes, and what one listed file takes.

    python benchmarks/scale_inputs.py FOLDER [--count 40] [--ray ray_batch.json] [--out docs/scale-measured.json]

Screens COUNT files of FOLDER, spread evenly over it, as a worker of ``cxrscreen screen --on ray`` does, on one core in
this process, and counts processor time, so that other work on the machine matters little. The efficiency of several
nodes is that of ``benchmarks/ray_batch.py``; without its file it is 1, which is an assumption, and the output says so.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from screen_speed import spread

from cxrscreen import __version__
from cxrscreen.batch.cluster.fetch import fetched
from cxrscreen.batch.cluster.items import Item, key_of
from cxrscreen.batch.cluster.one_file import Asked, screened_row
from cxrscreen.batch.cluster.sources import items_of
from cxrscreen.batch.cluster.store import ResultStore
from cxrscreen.batch.cluster.table import table_of
from cxrscreen.batch.cores import calm_libraries
from cxrscreen.batch.run import Options
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import EngineSettings
from cxrscreen.systems.registry import load_system

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
    command = f"python benchmarks/scale_inputs.py FOLDER --count {given.count} --bundle {given.bundle}"
    values = screening(spread(given.folder, given.count), given.bundle) | {"listing_bytes": listing()}
    found: dict[str, Any] = {name: {"value": value, "command": command} for name, value in values.items()}
    if given.ray is None:
        found["efficiency"] = {"value": 1.0, "command": "assumed; measure it with python benchmarks/ray_batch.py"}
    else:
        ratio = json.loads(given.ray.read_text(encoding="utf-8"))["throughput"]["ratio"]
        found["efficiency"] = {"value": min(1.0, ratio / 2), "command": "python benchmarks/ray_batch.py throughput"}
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def screening(files: list[Path], bundle: str) -> dict[str, float]:
    """Screen files on one core: processor seconds an image, bytes read and written, resident memory."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    system = load_system(bundle, engine=EngineSettings(threads=1))
    asked = Asked(system.bundle_id, __version__, Options(explain=False, pictures="none"))
    rows, seconds = [], []
    with calm_libraries(2):
        for file in files:
            item = Item(key_of(str(file)), "file", str(file.absolute()))
            start = time.process_time()
            row = screened_row(item, system, asked, fetched=fetched, read=read)
            seconds.append(time.process_time() - start)
            rows.append(row | {"shard": "measured"})
    with tempfile.TemporaryDirectory() as folder:
        store = ResultStore(folder)
        with store.opened({}, resume=False):
            store.write(table_of(rows))
        written = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
    return {
        # The mean is what a sum of many needs; the first image also pays for what is made once.
        "core_seconds": round(statistics.mean(seconds[1:]), 4),
        "image_bytes": round(statistics.mean(file.stat().st_size for file in files)),
        "row_bytes": round(written / len(rows)),
        "worker_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def listing() -> float:
    """Memory that one listed file takes, from a folder of many empty ones."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(LISTED):
            (Path(folder) / f"{number:08d}.dcm").touch()
        tracemalloc.start()
        items = items_of([folder])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return round(peak / len(items))


if __name__ == "__main__":
    main()
