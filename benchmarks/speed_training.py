"""Training images a second: this project's loop against a plain one, on the same cut-out lungs (noise, kept in memory).

    python benchmarks/speed_training.py [--batches 20] [--threads 2]

Ours: stage 2 as the recipe trains it (bfloat16 where it is safe, channels last, Lightning, augmentation, averaged
weights). Plain: the same network, augmentation and optimiser in float32, a loop of five lines. Start-up is taken out by
running each twice, with one batch and with more. Prints one JSON object.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from cxrscreen.nets.named import classifier_named
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.train.classifier import BinaryTask, RoiImages
from cxrscreen.train.loop import fit
from cxrscreen.train.recipe import load_recipe

RECIPE = Path(__file__).parents[1] / "recipes" / "cascade-lite.yaml"
SIDE, IMAGES, HELD = 160, 512, 40


def main() -> None:
    """Run both loops and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = load_recipe(RECIPE, CascadeRecipe)
    with warnings.catch_warnings(action="ignore"):
        result = {
            name: rate(lambda count, loop=loop: loop(recipe, count, given.threads), recipe, given.batches)
            for name, loop in (("ours", ours), ("plain", plain))
        }
    ratio = result["ours"] / result["plain"]
    sys.stdout.write(json.dumps({"images_a_second": result, "ratio": round(ratio, 2)}) + "\n")


def rate(run: Callable[[int], None], recipe: CascadeRecipe, batches: int) -> float:
    """Images a second between a run of one batch and one of more."""
    taken = []
    for count in (1, 1 + batches):
        begun = time.perf_counter()
        run(count)
        taken.append(time.perf_counter() - begun)
    return round(batches * recipe.stage2.phases[0].batch / (taken[1] - taken[0]), 2)


def images(count: int, recipe: CascadeRecipe, *, augmented: bool) -> RoiImages:
    """Noise in place of lungs: what is in the pixels does not change the time."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, SIDE, SIDE), np.uint8)
    quantiles = np.sort(rng.random((count, 64), np.float32))
    truth = np.arange(count, dtype=np.int64) % 2
    augment = recipe.stage2.augment if augmented else None
    return RoiImages(pixels, np.ones_like(pixels), truth, quantiles, SIDE, augment)


def draws(batches: int, batch: int) -> list[list[tuple[int, int]]]:
    """Indices and seeds of the batches, the same for both loops."""
    return [[((number * batch + i) % IMAGES, number * batch + i) for i in range(batch)] for number in range(batches)]


def ours(recipe: CascadeRecipe, batches: int, threads: int) -> None:
    """The loop that trains the bundles."""
    phase = recipe.stage2.phases[0].model_copy(update={"epochs": 1, "batches": batches, "side": SIDE})
    compute = recipe.compute.model_copy(update={"threads": threads})
    network = classifier_named(recipe.stage2.network, pooling=recipe.pooling)
    task = BinaryTask(network, phase, max(2, batches), 0, sources=["one"] * HELD, smoothing=recipe.stage2.smoothing)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    training: DataLoader[Any] = DataLoader(
        images(IMAGES, recipe, augmented=True), batch_sampler=draws(batches, phase.batch)
    )
    held: DataLoader[Any] = DataLoader(images(HELD, recipe, augmented=False), batch_size=HELD)
    with tempfile.TemporaryDirectory() as folder:
        fit(task, training, held, phase, compute, Path(folder))


def plain(recipe: CascadeRecipe, batches: int, threads: int) -> None:
    """A loop as a tutorial shows it, float32."""
    torch.set_num_threads(threads)
    phase = recipe.stage2.phases[0]
    network = classifier_named(recipe.stage2.network, pooling=recipe.pooling).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=phase.learning_rate, weight_decay=phase.weight_decay)
    loader = DataLoader(images(IMAGES, recipe, augmented=True), batch_sampler=draws(batches, phase.batch))
    for image, truth, _ in loader:
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(network(image), truth).backward()
        optimiser.step()


if __name__ == "__main__":
    main()
