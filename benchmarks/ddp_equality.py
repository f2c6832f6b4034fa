"""Whether two processes that train as one give the validation loss of one process with the same whole batch.

    python benchmarks/ddp_equality.py [--seeds 4] [--epochs 8] [--images 32] [--side 48]

Lung masks of phantoms, each seed with weights, batches and augmentation of its own. For every seed three trainings:
one process with batches of 8; two processes on this machine's CPU, 4 images of each batch to each; and one process
again, whose batches and augmentation are those of another seed. The last gives the noise: how far the loss moves when
nothing but chance changes. Two networks: a U-Net, whose batch normalisation sees in two processes half of the batch
each (on GPUs it is synchronised), and one without normalisation, where nothing but rounding may differ.

Prints one JSON object for each network: losses by seed, the mean difference of two processes to one with a t interval
over seeds, the noise, which is the standard deviation over seeds of the difference between the two trainings by one
process, and the largest difference of a weight. Phantoms on a CPU: it says that the loop is right, and nothing of speed
or of GPUs.
"""

import argparse
import contextlib
import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cxrscreen.data.phantoms import make_phantom
from cxrscreen.nets.unet import UNet
from cxrscreen.train.batches import EvenBatches
from cxrscreen.train.loop import fit, kept_state
from cxrscreen.train.recipe import AugmentSettings, Compute, Phase
from cxrscreen.train.segmenter import MaskImages, MaskTask, mask_loss

BATCH = 8
FINDINGS = ("normal", "covid19", "bacterial")
ONE = Compute(precision="32-true", accelerator="cpu", threads=1)
TWO = ONE.model_copy(update={"devices": 2})
Masks = tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.uint8]]]


def main() -> None:
    """Run all trainings and print what they gave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--side", type=int, default=48)
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error("there is no noise in one seed")
    logging.disable(logging.WARNING)
    learned, seen = phantoms(given.images, given.side, 0), phantoms(given.images // 2, given.side, 1000)
    with warnings.catch_warnings(action="ignore"):
        for kind in ("unet", "plain"):
            with contextlib.redirect_stdout(sys.stderr):
                rows = [compared(kind, learned, seen, given.epochs, seed) for seed in range(given.seeds)]
            sys.stdout.write(json.dumps({"network": kind, **vars(given), **summary(rows)}) + "\n")
            sys.stdout.flush()


def compared(kind: str, learned: Masks, seen: Masks, epochs: int, seed: int) -> dict[str, float]:
    """Validation losses of the three trainings of a seed, and the largest difference of a weight."""
    one = trained(kind, learned, seen, epochs, seed, seed, ONE)
    two = trained(kind, learned, seen, epochs, seed, seed, TWO)
    other = trained(kind, learned, seen, epochs, seed, seed + 500, ONE)
    # Running statistics are no weights.
    weights = [name for name, _ in network_named(kind).named_parameters()]
    moved = max(float((two[name] - one[name]).abs().max()) for name in weights)
    losses = (validation_loss(kind, state, seen) for state in (one, two, other))
    return {**dict(zip(("one", "two", "other"), losses, strict=True)), "moved": moved}


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Mean difference with its interval, and the noise."""
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    apart = columns["two"] - columns["one"]
    low, high = stats.t.interval(0.95, len(rows) - 1, apart.mean(), stats.sem(apart))
    return {
        "loss": {name: [round(float(v), 5) for v in columns[name]] for name in ("one", "two", "other")},
        "two_minus_one": {"mean": float(apart.mean()), "ci_low": float(low), "ci_high": float(high)},
        "noise": float((columns["other"] - columns["one"]).std(ddof=1)),
        "largest_difference_of_a_weight": float(columns["moved"].max()),
    }


def trained(
    kind: str, learned: Masks, seen: Masks, epochs: int, seed: int, drawn: int, compute: Compute
) -> dict[str, Tensor]:
    """State after training from the weights of ``seed`` on the batches of ``drawn``."""
    torch.manual_seed(seed)
    network = network_named(kind)
    count, side = learned[0].shape[:2]
    batches = count // BATCH
    phase = Phase(epochs=epochs, batch=BATCH, batches=batches, learning_rate=1e-2, ema=0.9)
    # Findings stand for groups, and every other phantom for a patient's second image.
    groups = [FINDINGS[place % len(FINDINGS)] for place in range(count)]
    sampler = EvenBatches(
        groups,
        ["phantom"] * count,
        weights={},
        batch=BATCH,
        batches=batches,
        seed=drawn,
        patients=[str(place // len(FINDINGS) // 2) for place in range(count)],
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(
            MaskTask(network, phase, epochs * batches, drawn),
            DataLoader(MaskImages(*learned, side, AugmentSettings()), batch_sampler=sampler),
            DataLoader(MaskImages(*seen, side, None), batch_size=5),
            phase,
            compute,
            Path(folder),
        )
        # The end of the training: at the best epoch, which may be an early one, there would be less to differ.
        return kept_state(Path(folder), "last")


def validation_loss(kind: str, state: dict[str, Tensor], seen: Masks) -> float:
    """Mean loss of the validation images under a state."""
    network = network_named(kind)
    network.load_state_dict(state)
    network.eval()
    images = MaskImages(*seen, seen[0].shape[1], None)
    with torch.no_grad():
        losses = [
            float(mask_loss(network(image[None]), truth[None]))
            for image, truth in (images[i] for i in range(len(images)))
        ]
    return float(np.mean(losses))


def network_named(kind: str) -> nn.Module:
    """A small network, with batch normalisation or without any."""
    if kind == "unet":
        return UNet(width=4)
    return nn.Sequential(
        nn.Conv2d(1, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )


def phantoms(count: int, side: int, first: int) -> Masks:
    """Images and lung masks, uint8 (N, S, S), findings in turn."""
    pairs = []
    for place in range(count):
        phantom = make_phantom(first + place, FINDINGS[place % len(FINDINGS)], shape=(160, 160))
        image = cv2.resize(phantom.pixels, (side, side), interpolation=cv2.INTER_AREA)
        mask = cv2.resize((phantom.lungs > 0).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
        pairs.append((np.round(image * 255).astype(np.uint8), mask))
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


if __name__ == "__main__":
    main()
