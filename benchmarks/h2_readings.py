"""Compare bundles that differ in the reading of Eq. 1: how much of H2 lies in the lungs, how well stage 3 does on it.

    python benchmarks/h2_readings.py DATA BUNDLE [BUNDLE...] [--limit 300] [--seed 0]

Measured on the validation part of stage 3, so that the choice between the readings does not touch a test image; prints
one JSON object a bundle. ``lungs_share_of_area`` is what a map that is the same everywhere would reach.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrscreen.data.manifest import Manifest, load_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.evaluate.bootstrap import bootstrap
from cxrscreen.evaluate.classification import evaluate_scores
from cxrscreen.evaluate.run import chosen_images
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.imaging.read import read
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.registry import load_system


def main() -> None:
    """Measure each bundle and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    manifest = load_manifest(given.data)
    images = chosen_images(make_split("stage3", manifest, given.seed).validation, given.limit, given.seed)
    for bundle in given.bundles:
        sys.stdout.write(json.dumps(measure(bundle, manifest, images, given.seed), indent=1) + "\n")
        sys.stdout.flush()


def measure(name: str, manifest: Manifest, images: Sequence[str], seed: int) -> dict[str, Any]:
    """Screen the images and gather the shares and the AUCs."""
    system = load_system(name)
    truth = make_split("stage3", manifest, seed).truth
    rows: list[dict[str, Any]] = []
    for image_id in images:
        entry = manifest.table.loc[image_id]
        screening = system.screen(read(manifest.image_file(image_id)), force=True)
        h2 = next(item for item in screening.saliency if item.name == "h2")
        rows.append(
            {
                "image_id": image_id,
                "source": entry["source"],
                "group": entry["group"],
                "label": entry["label"],
                "truth": truth[image_id],
                "score": screening.probabilities["covid19"],
                "share": h2.lung_share or 0.0,
                "area": screening.lung_area_fraction,
            }
        )
    table = pd.DataFrame(rows)
    result = evaluate_scores(table.drop(columns=["share", "area"]))
    share = table["share"].to_numpy(dtype=np.float64)
    mean_share = bootstrap(lambda weights: weighted_mean(share, weights), table["group"].tolist())
    return {
        "bundle": Path(name).name,
        "h2": open_bundle(name).card.preprocessing["h2"],
        "images": len(table),
        "h2_lung_share": _interval(mean_share),
        "lungs_share_of_area": round(float(table["area"].mean()), 3),
        "stage3_auc_pooled": _interval(result.pooled.estimates["auc"]),
        "stage3_auc_within": {source: _interval(item.estimates["auc"]) for source, item in result.within.items()},
    }


def _interval(estimate: Any) -> list[float | None]:
    figures = (estimate.value, estimate.ci_low, estimate.ci_high)
    return [None if figure is None else round(figure, 3) for figure in figures]


if __name__ == "__main__":
    main()
