"""Stage 3's head, fitted with patients of one source held out in turn: how well it tells their pneumonias apart.

    python benchmarks/stage3_head.py DATA [--bundle cascade] [--source cohen] [--penalty 0.02 0.2 2] [--folds 3]

Features are those of the bundle's stage 3, which must be stage 2's network with a head of its own. Only images of the
training and validation parts are used, so that choices made here touch no test image. Prints one JSON object a penalty:
the AUC of each fold, and of all held-out answers together with its 95 % interval by patient bootstrap.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from cxrscreen.data.manifest import Manifest, load_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.evaluate.bootstrap import bootstrap
from cxrscreen.evaluate.weighted import weighted_auc
from cxrscreen.imaging.read import read
from cxrscreen.systems.registry import load_system
from cxrscreen.train.batches import drawn_chances

WEIGHTS = {
    "nih": 3.0,
    "shenzhen": 2.0,
    "montgomery": 0.7,
    "kermany": 3.0,
    "cohen": 2.0,
    "radiography-covid": 2.0,
    "armiro": 1.5,
    "hannover": 1.0,
}
"""Weights of the sources, as in recipes/cascade-lite.yaml."""


def main() -> None:
    """Fit, hold out and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", default="cascade")
    parser.add_argument("--source", default="cohen")
    parser.add_argument("--penalty", type=float, nargs="+", default=[0.02, 0.2, 2.0])
    parser.add_argument("--folds", type=int, default=3)
    given = parser.parse_args()
    manifest = load_manifest(given.data)
    split = make_split("stage3", manifest)
    image_ids = [*split.train, *split.validation]
    features = features_of(given.bundle, manifest, image_ids)
    truth = np.array([split.truth[image_id] for image_id in image_ids])
    sources = manifest.table.loc[image_ids, "source"].to_numpy(str)
    groups = manifest.table.loc[image_ids, "group"].to_numpy(str)
    for penalty in given.penalty:
        held = np.flatnonzero(sources == given.source)
        scores = np.full(len(image_ids), np.nan)
        folds = []
        draw = StratifiedGroupKFold(given.folds, shuffle=True, random_state=0)
        for _, rows in draw.split(held, truth[held], groups[held]):
            asked = held[rows]
            learned = np.flatnonzero(~np.isin(groups, groups[asked]))
            scaler = StandardScaler().fit(features[learned])
            weights = drawn_chances(truth[learned].tolist(), sources[learned].tolist(), WEIGHTS) * len(learned)
            head = LogisticRegression(C=1 / (penalty * len(learned)), max_iter=1000)
            head.fit(scaler.transform(features[learned]), truth[learned], sample_weight=weights)
            scores[asked] = head.decision_function(scaler.transform(features[asked]))
            folds.append(round(float(roc_auc_score(truth[asked], scores[asked])), 3))
        own, yes = scores[held], truth[held] == 1
        estimate = bootstrap(lambda drawn: weighted_auc(yes, own, drawn), groups[held].tolist())  # noqa: B023
        answer = {"penalty": penalty, "folds": folds, "positive": int(truth[held].sum()), "images": len(held)}
        figures = (estimate.value, estimate.ci_low, estimate.ci_high)
        line = json.dumps({**answer, "auc": [round(v, 3) for v in figures if v is not None]})
        sys.stdout.write(f"{line}\n")


def features_of(bundle: str, manifest: Manifest, image_ids: Sequence[str]) -> NDArray[np.float32]:
    """Pooled features of stage 3, (N, K)."""
    system = load_system(bundle)

    def features(image_id: str) -> NDArray[np.float32]:
        return system.features(read(manifest.image_file(image_id)))["covid19"]

    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(track(pool.map(features, image_ids), "Features", total=len(image_ids))))


if __name__ == "__main__":
    main()
