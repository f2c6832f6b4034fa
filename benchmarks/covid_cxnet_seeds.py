"""Range of a COVID-CXNet recipe's accuracy over several seeds of its training, on one and the same split.

    python benchmarks/covid_cxnet_seeds.py RECIPE DATA WORK [--seeds 10]

Trains the recipe once for each seed of initial weights, batches and augmentation; images stay in the parts of the
recipe's own seed. Validation part alone, at probability 0.5 or the greatest, with the kept epoch of the last phase.
Prints one JSON object with each accuracy, their mean, least and largest, and a t interval of the mean; that interval
speaks of the training's chance, not of other patients.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cxrscreen.data.manifest import Manifest, load_manifest
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
from cxrscreen.systems.covid_cxnet.splits import CLASS_SPLIT, splits_of
from cxrscreen.systems.covid_cxnet.training import train_covid_cxnet
from cxrscreen.train.recipe import load_recipe


def main() -> None:
    """Run the trainings and print their accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    recipe, manifest = load_recipe(given.recipe, CovidCxNetRecipe), load_manifest(given.data)
    recipe = recipe.model_copy(update={"split_seed": recipe.splitting})
    images = len(splits_of(recipe, manifest)[CLASS_SPLIT].validation)
    found = [accuracy_of(recipe, manifest, seed, given.work / f"seed{seed}") for seed in range(given.seeds)]
    low, high = (
        stats.t.interval(0.95, len(found) - 1, np.mean(found), stats.sem(found)) if len(found) > 1 else (None,) * 2
    )
    result = {
        "recipe": given.recipe.name,
        "validation_images": images,
        "accuracies": [round(value, 4) for value in found],
        "mean": round(float(np.mean(found)), 4),
        "least": round(min(found), 4),
        "largest": round(max(found), 4),
        "interval_of_mean": None if low is None else [round(float(low), 4), round(float(high), 4)],
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def accuracy_of(recipe: CovidCxNetRecipe, manifest: Manifest, seed: int, work: Path) -> float:
    """Train with a seed and give the accuracy of the epoch that was kept."""
    train_covid_cxnet(recipe.model_copy(update={"seed": seed}), manifest, work)
    folder = work / "classifier" / f"phase{len(recipe.classifier.phases)}"
    curves = pd.concat([pd.read_csv(file) for file in sorted(folder.glob("metrics*.csv"))], ignore_index=True)
    kept = curves.dropna(subset=["validation_score"]).sort_values("epoch")
    return float(kept.loc[kept["validation_score"].idxmax(), "accuracy"])


if __name__ == "__main__":
    main()
