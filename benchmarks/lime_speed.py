"""How long LIME takes on one radiograph, and how far two seeds agree on it.

    python benchmarks/lime_speed.py BUNDLE IMAGE [--threads 2] [--superpixels 50] [--samples 200 400 800]

For each number of samples: seconds by the clock and of the processor, lungs and Grad-CAM included, and Spearman's rank
correlation of the superpixels' weights between seeds 0 and 1. Processor seconds count little what else runs meanwhile;
on T idle cores the clock shows between a Tth of them and all of them. Where the linear model explains little of the
change (fit), there is nothing to agree on. Prints one JSON object.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scipy.stats import spearmanr

from cxrscreen.explain.lime import BATCH, SAMPLES, SUPERPIXELS
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import read
from cxrscreen.systems.covid_cxnet.explanation import explain
from cxrscreen.systems.covid_cxnet.pipeline import CovidCxNet
from cxrscreen.systems.registry import load_system

LIMIT = 20.0
"""Seconds on two cores that one image may take."""


@dataclass(frozen=True)
class Timing:
    """One number of samples: seconds of the first seed, fit of both models, and the agreement of their weights."""

    samples: int
    superpixels: int
    clock_seconds: float
    processor_seconds: float
    fit: tuple[float, float]
    rank_correlation: float


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--superpixels", type=int, default=SUPERPIXELS)
    parser.add_argument("--samples", type=int, nargs="+", default=[SAMPLES // 4, SAMPLES // 2, SAMPLES])
    given = parser.parse_args()
    system, radiograph = load_system(given.bundle, given.threads), read(given.image)
    if not isinstance(system, CovidCxNet):
        parser.error("give a bundle of covid_cxnet")
    explain(system, radiograph, samples=2, superpixels=given.superpixels)
    found = [timing(system, radiograph, samples, given.superpixels) for samples in given.samples]
    result = {
        "bundle": system.bundle_id,
        "threads": given.threads,
        "batch": BATCH,
        "limit_seconds": LIMIT,
        "timings": [asdict(each) for each in found],
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def timing(system: CovidCxNet, radiograph: Radiograph, samples: int, superpixels: int) -> Timing:
    """Explain one radiograph with two seeds."""
    clock, processor = time.perf_counter(), time.process_time()
    first = explain(system, radiograph, samples=samples, superpixels=superpixels, seed=0).lime
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    second = explain(system, radiograph, samples=samples, superpixels=superpixels, seed=1).lime
    return Timing(
        samples,
        len(first.weights),
        round(clock, 2),
        round(processor, 2),
        (round(first.fit, 3), round(second.fit, 3)),
        round(float(spearmanr(first.weights, second.weights).statistic), 3),
    )


if __name__ == "__main__":
    main()
