"""How fast the cascade is, side by side in one run: medians with spread, ratios, each line of the goal held or missed.

    python benchmarks/speed.py FOLDER [PART ...] [--count 200] [--rounds 3] [--stream 10000] [--out speed.json]

FOLDER holds radiographs. Parts, all where none is named:

    batch     images a second of cxrscreen screen with all maps, against an eager PyTorch loop and DenseNet-121 of
              torchxrayvision's pipeline, rounds interleaved; share of the rate of the networks alone
    engines   the networks alone by precision, and against the processor's peak and bandwidth
    latency   one DICOM file to all maps, against eager
    start     start-up to the first result
    scale     100 images to the stream's length; one process and two
    memory    resident memory over the stream
    training  training images a second against a plain loop

Run it on a machine that does nothing else. The goals are for two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import screen_speed
from speed_eager import xrv_network
from speed_floor import floor, networks_alone, spread_of

from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import PRECISIONS, EngineSettings, Precision, int8_graph, with_precision
from cxrscreen.systems.bundle import Bundle, open_bundle
from cxrscreen.systems.registry import load_system

HERE = Path(__file__).parent
DICOM = HERE.parent / "examples" / "covid19-portable.dcm"
BATCH_RATIO, BATCH_AIM, ALONE_SHARE, START_SECONDS = 6.0, 10.0, 0.6, 3.0
LATENCY_RATIO, LATENCY_TAIL, MEMORY_GROWTH, STEADY_AFTER = 5.0, 2.0, 1.1, 500
EAGER_SHARE = 5
"""The eager loops take every fifth image only: they are slow, and steady from the first."""


@dataclass(frozen=True)
class Line:
    """One line of the goal: what is asked, what was measured, whether it holds."""

    goal: str
    measured: str
    held: bool


Result = tuple[dict[str, Any], list[Line]]


def main() -> None:
    """Run the parts that are asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--bundle", default="cascade")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stream", type=int, default=10_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--pictures", choices=("full", "small", "none"), default="full")
    parser.add_argument("--dicom", type=Path, default=DICOM)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    # The torch engine would take a CUDA device, and so would the loops that this starts.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    found: dict[str, Any] = {}
    lines: list[Line] = []
    for name in given.parts or PARTS:
        found[name], more = PARTS[name](given)
        lines += more
        sys.stdout.write(json.dumps({name: found[name]}, indent=1) + "\n")
        sys.stdout.flush()
    found["goals"] = [vars(line) for line in lines]
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for line in lines:
        sys.stdout.write(f"{'held  ' if line.held else 'missed'}  {line.goal}: {line.measured}\n")


def batch(given: argparse.Namespace) -> Result:
    """Images a second of all loops, rounds interleaved."""
    files = screen_speed.spread(given.folder, given.count)
    kinds = list(dict.fromkeys((given.pictures, "small")))
    loops: dict[str, Callable[[], float]] = {}
    for kind in kinds:
        loops[f"cxrscreen, {kind} pictures"] = lambda kind=kind: ours(files, given, ("--pictures", kind))
        loops[f"eager PyTorch, {kind} pictures"] = lambda kind=kind: eager(given, "cascade", given.bundle, kind)
    loops["torchxrayvision's pipeline, no maps"] = lambda: eager(given, "xrv")
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(given.rounds):
        for name, loop in loops.items():
            taken[name].append(loop())
    alone = networks_alone(open_bundle(given.bundle), precision_of(given.bundle), given.cores, 3.0)
    rates = {name: spread_of([1.0 / each for each in seconds]) for name, seconds in taken.items()}
    content: dict[str, Any] = {
        "images": len(files),
        "torchxrayvision": xrv_network()[1],
        "images_a_second": rates,
        "networks_alone": alone,
        "ratios": {},
    }
    lines = []
    for kind in kinds:
        mine, theirs = (taken[f"{who}, {kind} pictures"] for who in ("cxrscreen", "eager PyTorch"))
        ratio = spread_of([slow / fast for slow, fast in zip(theirs, mine, strict=True)])
        share = 1.0 / statistics.median(mine) / alone["images_a_second"]
        content["ratios"][f"eager PyTorch, {kind} pictures"] = ratio
        content["ratios"][f"share of the networks alone, {kind} pictures"] = round(share, 3)
        lines += [
            Line(
                f"whole cascade with maps, {kind} pictures: at least {BATCH_RATIO:g} times eager (aim {BATCH_AIM:g})",
                f"{ratio['median']:.2f} times ({ratio['min']:.2f} to {ratio['max']:.2f})",
                ratio["median"] >= BATCH_RATIO,
            ),
            Line(
                f"at least {ALONE_SHARE:.0%} of the rate of the networks alone, {kind} pictures",
                f"{share:.0%} ({1 / statistics.median(mine):.1f} of {alone['images_a_second']:.1f} images a second)",
                share >= ALONE_SHARE,
            ),
        ]
    return content, lines


def ours(files: Sequence[Path], given: argparse.Namespace, options: Sequence[str]) -> float:
    """Seconds an image of the command, start-up left out."""
    result = screen_speed.screened(files, given.cores, ("--bundle", given.bundle, *options))
    return float(result["seconds_an_image"])


def eager(given: argparse.Namespace, loop: str, bundle: str = "", pictures: str = "") -> float:
    """Seconds an image of an eager loop, in a process of its own."""
    command = [sys.executable, str(HERE / "speed_eager.py"), loop, *([bundle] if bundle else []), str(given.folder)]
    command += ["--count", str(max(10, given.count // EAGER_SHARE)), "--threads", str(given.cores)]
    command += ["--pictures", pictures] if pictures else []
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(printed)["seconds_an_image"])


def engines(given: argparse.Namespace) -> Result:
    """The networks alone, in each precision that the bundle has."""
    bundle = open_bundle(given.bundle)
    offered = [name for name in PRECISIONS if name != "int8" or int8_graph(bundle.file("lungs.onnx")).is_file()]
    return {
        "by_precision": [networks_alone(bundle, name, given.cores, 3.0) for name in offered],
        "floor": floor(bundle, "f32", given.cores, given.rounds + 2, 3.0),
    }, []


def latency(given: argparse.Namespace) -> Result:
    """One DICOM file, from its bytes to all maps, alternating between the engines in one process."""
    systems = {
        name: load_system(given.bundle, engine=EngineSettings(name, threads=given.cores))
        for name in ("openvino", "torch")
    }
    taken: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(3 + 15 * given.rounds):
        for name, system in systems.items():
            begun = time.perf_counter()
            screening = system.screen(read(given.dicom), force=True, policy="off")
            if number >= 3:
                taken[name].append(time.perf_counter() - begun)
            if not screening.saliency:
                raise RuntimeError("the screening has no maps")
    points = {
        name: {"p50_ms": _milliseconds(values, 50), "p95_ms": _milliseconds(values, 95), "runs": len(values)}
        for name, values in taken.items()
    }
    fast = points["openvino"]
    ratio = points["torch"]["p50_ms"] / fast["p50_ms"]
    tail = fast["p95_ms"] / fast["p50_ms"]
    return {"file": given.dicom.name, **points, "ratio": round(ratio, 2)}, [
        Line(
            f"one DICOM to all maps: at least {LATENCY_RATIO:g} times faster than eager",
            f"{ratio:.2f} times",
            ratio >= LATENCY_RATIO,
        ),
        Line("95th percentile within twice the median", f"{tail:.2f} times the median", tail <= LATENCY_TAIL),
    ]


def _milliseconds(seconds: Sequence[float], percentile: int) -> float:
    ordered = sorted(seconds)
    return round(1e3 * ordered[min(len(ordered) - 1, len(ordered) * percentile // 100)], 2)


def start(given: argparse.Namespace) -> Result:
    """From the start of the command to the first line of results, one file."""
    files = screen_speed.spread(given.folder, 1)
    taken = [
        screen_speed.screened(files, given.cores, ("--bundle", given.bundle))["seconds_to_first_result"]
        for _ in range(given.rounds + 2)
    ]
    found = spread_of(taken)
    held = found["median"] <= START_SECONDS
    return {"seconds_to_first_result": found}, [
        Line(f"start-up to first result at most {START_SECONDS:g} s", f"{found['median']:.2f} s", held)
    ]


def scale(given: argparse.Namespace) -> Result:
    """How cost grows with the number of images, and from one process to two."""
    options = ("--bundle", given.bundle, "--pictures", "small")
    counts = [count for count in (100, 1000, given.stream) if count <= given.stream]
    growth = {}
    for count in counts:
        result = screen_speed.screened(screen_speed.spread(given.folder, count), given.cores, options)
        growth[str(result["images"])] = {name: result[name] for name in ("seconds_in_all", "seconds_an_image")}
    files = screen_speed.spread(given.folder, given.count)
    alone = screen_speed.screened(files, 1, options)["seconds_in_all"]
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        places = (Path(one), Path(two))
        runs = [screen_speed.start(files[first::2], out, 1, options, first=first) for first, out in enumerate(places)]
        for run in runs:
            screen_speed.ended(run)
    together = time.perf_counter() - begun
    processes = {"one_process_seconds": alone, "two_processes_seconds": round(together, 3)}
    return {"by_images": growth, "processes": processes | {"ratio": round(alone / together, 2)}}, []


def memory(given: argparse.Namespace) -> Result:
    """Resident memory of a stream: its greatest after the first 500 images against that at 500."""
    files = screen_speed.spread(given.folder, given.stream)
    result = screen_speed.screened(files, given.cores, ("--bundle", given.bundle, "--pictures", "small"))
    held = result.pop("memory_mb")
    early = [mb for count, mb in held if count <= STEADY_AFTER]
    late = [mb for count, mb in held if count > STEADY_AFTER]
    base = early[-1] if early else 0.0
    growth = max(late, default=base) / base if base else 0.0
    every = max(1, len(held) // 40)
    content = result | {"mb_at_500": round(base), "largest_after": round(max(late, default=base)), "mb": held[::every]}
    goal = f"{given.stream} images in a stream: memory flat within 10% after the first {STEADY_AFTER}"
    return content, [Line(goal, f"{growth - 1:+.1%} of {base:.0f} MiB", bool(late) and growth <= MEMORY_GROWTH)]


def training(given: argparse.Namespace) -> Result:
    """Training images a second; see ``speed_training.py``."""
    command = [sys.executable, str(HERE / "speed_training.py"), "--threads", str(given.cores)]
    runs = []
    for _ in range(given.rounds):
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        runs.append(json.loads(printed.strip().splitlines()[-1]))
    content = {
        "images_a_second": {
            name: spread_of([run["images_a_second"][name] for run in runs]) for name in ("ours", "plain")
        },
        "ratio": spread_of([run["ratio"] for run in runs]),
    }
    return content, []


def precision_of(bundle: str | Bundle) -> Precision:
    """What the bundle runs in by default."""
    opened = open_bundle(bundle) if isinstance(bundle, str) else bundle
    return with_precision(EngineSettings(), opened.card.results).precision or "f32"


PARTS: dict[str, Callable[[argparse.Namespace], Result]] = {
    "batch": batch,
    "engines": engines,
    "latency": latency,
    "start": start,
    "scale": scale,
    "memory": memory,
    "training": training,
}


if __name__ == "__main__":
    main()
