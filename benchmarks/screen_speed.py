"""How long ``cxrscreen screen`` takes and how much memory: start to first result, seconds an image, peak resident set.

    python benchmarks/screen_speed.py FOLDER [--count 60] [--cores 2]

Screens COUNT files of FOLDER (spread evenly over it) with every heat map, forced through all stages, in a new process
bound to CORES cores; prints one JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    files = sorted(path for path in given.folder.rglob("*") if path.is_file())
    wanted = min(given.count, len(files))
    files = [files[number * len(files) // wanted] for number in range(wanted)]
    with tempfile.TemporaryDirectory() as out:
        result = measure(files, Path(out), given.cores)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def measure(files: list[Path], out: Path, cores: int) -> dict[str, float]:
    """Screen files in a new process and watch its JSON lines grow."""
    command = [sys.executable, "-m", "cxrscreen", "screen", *map(str, files), "--out", str(out / "run"), "--force"]
    lines = out / "run" / "screenings.jsonl"
    start = time.perf_counter()
    first = 0.0
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    # The child inherits the cores of this process.
    os.sched_setaffinity(0, allowed)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if not first and lines.is_file() and lines.stat().st_size:
                first = time.perf_counter() - start
            time.sleep(0.02)
    total = time.perf_counter() - start
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    return {
        "images": len(rows),
        "screened": sum(row["status"] == "screened" for row in rows),
        "cores": len(allowed),
        "seconds_to_first_result": round(first, 2),
        "seconds_in_all": round(total, 2),
        "seconds_an_image": round((total - first) / max(1, len(rows) - 1), 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
