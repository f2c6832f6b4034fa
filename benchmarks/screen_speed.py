"""How long ``cxrscreen screen`` takes and how much memory: start to first result, seconds an image, peak resident set.

    python benchmarks/screen_speed.py FOLDER [--count 60] [--cores 2] [OPTIONS OF cxrscreen screen]

Screens COUNT files of FOLDER (spread evenly over it) with every heat map, forced through all stages, in a new process
bound to CORES cores; prints one JSON object. ``benchmarks/speed.py`` compares this with an eager loop.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LINES = Path("run") / "screenings.jsonl"
PAUSE = 0.02
COMPLETE = (0, 1, 3)
"""Exit codes of a run that came to its end; single files may have failed or been refused."""


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--cores", type=int, default=2)
    given, options = parser.parse_known_args()
    result = screened(spread(given.folder, given.count), given.cores, options)
    result.pop("memory_mb")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def spread(folder: Path, count: int) -> list[Path]:
    """So many files of a folder, evenly over it; all where it has fewer."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    wanted = min(count, len(files))
    return [files[number * len(files) // wanted] for number in range(wanted)]


def screened(files: Sequence[Path], cores: int, options: Sequence[str] = (), *, first: int = 0) -> dict[str, Any]:
    """Screen files in a new process, bound to the cores from ``first`` on, and watch its JSON lines and its memory."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        return watched(start(files, out, cores, options, first=first), out, cores)


def start(
    files: Sequence[Path], out: Path, cores: int, options: Sequence[str] = (), *, first: int = 0
) -> "subprocess.Popen[bytes]":
    """Start ``cxrscreen screen`` on files, which are handed over as a folder of links: no command line is so long."""
    links = out / "in"
    links.mkdir(parents=True)
    for number, file in enumerate(files):
        (links / f"{number:06d}{file.suffix}").symlink_to(file.resolve())
    allowed = sorted(os.sched_getaffinity(0))[first : first + cores]
    command = [sys.executable, "-m", "cxrscreen", "screen", str(links), "--out", str(out / "run"), "--force", *options]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    # At once, so that the threads it will start inherit the cores.
    os.sched_setaffinity(process.pid, allowed)
    return process


def watched(process: "subprocess.Popen[bytes]", out: Path, cores: int) -> dict[str, Any]:
    """Wait for a run, noting when its first line came and how much memory it held at how many lines."""
    begun, lines, before = time.perf_counter(), out / LINES, processor_seconds()
    first, seen, memory = 0.0, 0, list[tuple[int, float]]()
    while process.poll() is None:
        size = lines.stat().st_size if lines.is_file() else 0
        if size and not first:
            first = time.perf_counter() - begun
        if size > seen:
            seen = size
            memory.append((lines.read_bytes().count(b"\n"), resident_mb(process.pid)))
        time.sleep(PAUSE if not first or len(memory) < 100 else 20 * PAUSE)
    total = time.perf_counter() - begun
    ended(process)
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    return {
        "images": len(rows),
        "screened": sum(row["status"] == "screened" for row in rows),
        "cores": cores,
        "seconds_to_first_result": round(first, 3),
        "seconds_in_all": round(total, 3),
        "processor_seconds_in_all": round(processor_seconds() - before, 3),
        "seconds_an_image": round((total - first) / max(1, len(rows) - 1), 5),
        "peak_memory_mb": round(max((held for _, held in memory), default=0.0)),
        "memory_mb": memory,
    }


def ended(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a run, and stop where it could not do its work: then its time says nothing."""
    if process.wait() not in COMPLETE:
        raise SystemExit(f"cxrscreen screen ended with exit code {process.returncode}; run it by hand to see why.")


def processor_seconds() -> float:
    """What the processes that have ended took of the processor."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def resident_mb(pid: int) -> float:
    """Resident set of a process in MiB; 0 where it has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
