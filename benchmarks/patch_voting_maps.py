"""How far the maps of the mode in which a patch-voting bundle is asked agree with those of the reference.

    python benchmarks/patch_voting_maps.py BUNDLE DATA [--part validation] [--count N] [--threads 1]

On images of the bundle's own split, for the class that won in the reference, over the pixels that were looked at: rank
correlation of the two maps, intersection over union of their hottest tenths, and the share of each inside the lungs.
Means with intervals by patient (bootstrap). Prints one JSON object.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from cxrscreen import RESEARCH_USE
from cxrscreen.data.manifest import load_manifest
from cxrscreen.evaluate.bootstrap import bootstrap
from cxrscreen.evaluate.patch_voting import splits_of_bundle
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import EngineSettings
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.contract import SaliencyMap
from cxrscreen.systems.patch_voting.pipeline import PatchVoting, load
from cxrscreen.systems.patch_voting.splits import CLASS_SPLIT

HOTTEST = 0.1
STEP = 8
"""Maps are compared at every eighth pixel: they are made of cells far larger than that."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    parser.add_argument("--count", type=int, default=None, help="Images, spread evenly over the part. Default: all.")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    bundle, manifest = open_bundle(given.bundle), load_manifest(given.data)
    asked = load(bundle, EngineSettings(threads=given.threads))
    reference = PatchVoting(asked.card, replace(asked.settings, mode="exact"), asked._organs, asked._modes)
    ids: Sequence[str] = splits_of_bundle(bundle, manifest)[CLASS_SPLIT].part(given.part)
    if given.count is not None and given.count < len(ids):
        ids = [ids[int(place)] for place in np.linspace(0, len(ids) - 1, given.count)]
    rows: list[tuple[float, ...]] = []
    groups: list[str] = []
    for image_id in ids:
        radiograph = read(manifest.image_file(image_id))
        wanted = reference.screen(radiograph, force=True, policy="off")
        found = asked.screen(radiograph, force=True, policy="off")
        own, other = (next(m for m in each.explanations if m.name == wanted.finding) for each in (wanted, found))
        row = agreement(own, other)
        if row is not None:
            rows.append((*row, own.lung_share or 0.0, other.lung_share or 0.0))
            groups.append(str(manifest.table.at[image_id, "group"]))
    names = ("rank_correlation", "hottest_tenth_iou", "in_lungs_reference", "in_lungs_asked")
    columns = dict(zip(names, np.array(rows).T, strict=True))
    content = {
        "notice": RESEARCH_USE,
        "bundle": bundle.card.bundle_id,
        "mode": asked.settings.mode,
        "ask_again": asked.settings.ask_again,
        "part": given.part,
        "images": len(rows),
        **{name: asdict(bootstrap(partial(weighted_mean, values), groups)) for name, values in columns.items()},
    }
    print(json.dumps(content, indent=2))  # noqa: T201


def agreement(own: SaliencyMap, other: SaliencyMap) -> tuple[float, float] | None:
    """Rank correlation and overlap of the hottest tenths where both were looked at; None where a map is even."""
    seen = np.ones(own.values.shape, np.bool_)
    for item in (own, other):
        seen &= True if item.looked_at is None else item.looked_at
    first, second = (item.values[::STEP, ::STEP][seen[::STEP, ::STEP]] for item in (own, other))
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    hot = [_hottest(values) for values in (first, second)]
    overlap = float((hot[0] & hot[1]).sum() / (hot[0] | hot[1]).sum())
    return float(spearmanr(first, second).statistic), overlap


def _hottest(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(values >= np.quantile(values, 1 - HOTTEST))


if __name__ == "__main__":
    main()
