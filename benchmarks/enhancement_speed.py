"""How long the contrast enhancements take on one core.

    python benchmarks/enhancement_speed.py [--side 1024] [--rounds 30]

An image of smooth structure and noise; the methods take turns, so that other work on the machine touches all alike.
Prints the median of processor milliseconds with the 10th and 90th percentile, as one JSON object.
"""

import argparse
import json
import sys
import time

import cv2
import numpy as np

from cxrscreen.imaging.enhancement import METHODS, enhance, grey_quantiles, three_channels


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.random((16, 16), np.float32), (given.side, given.side), interpolation=cv2.INTER_CUBIC)
    noise = 0.02 * rng.standard_normal(coarse.shape, np.float32)
    pixels = np.asarray(np.clip(coarse + noise, 0, 1), dtype=np.float32)
    reference = grey_quantiles(pixels)
    runs = {method: lambda method=method: enhance(pixels, method, reference=reference) for method in METHODS}
    runs.pop("original")
    runs["three channels"] = lambda: three_channels(pixels)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(given.rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            # The first round fills caches.
            if number:
                seconds[name].append(time.process_time() - start)
    found = {
        name: dict(
            zip(("p10", "median", "p90"), (round(1000 * q, 2) for q in np.quantile(own, (0.1, 0.5, 0.9))), strict=True)
        )
        for name, own in seconds.items()
    }
    sys.stdout.write(json.dumps({"side": given.side, "rounds": given.rounds, "milliseconds": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
