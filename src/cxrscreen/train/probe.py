"""Training a probe: a small network that asks what a set of pictures gives away, in a minute or two.

A probe screens nobody. It is trained anew for every control (without lungs, on masks alone, on shuffled labels), so
its loop is short, keeps everything in memory and leaves no file behind; systems are trained by `train.loop`.
"""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.nets.probe import ProbeNet
from cxrscreen.train.recipe import Settings

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From pictures, uint8 (M, S, S), to class probabilities, float32 (M, K)."""

_PREDICTION_BATCH = 256


class ProbeRecipe(Settings):
    """The one recipe of all probes, fixed beforehand, so that no control is tuned to its answer.

    Attributes
    ----------
    steps, batch
        Batches at most, and pictures in one; classes are drawn evenly.
    checks, patience
        Validations spread evenly over the steps, and how many of them without a better loss end the training.
    learning_rate, weight_decay, warmup
        AdamW with one cosine cycle; ``warmup`` is the rising share of it.
    shift, flip
        Largest shift as a share of the side, and probability of mirroring left and right.
    bf16
        Compute in bfloat16 where that is safe.
    """

    steps: int = Field(default=800, ge=1)
    batch: int = Field(default=64, ge=2)
    checks: int = Field(default=10, ge=1)
    patience: int = Field(default=3, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.15, gt=0, lt=1)
    shift: float = Field(default=0.05, ge=0, lt=0.5)
    flip: float = Field(default=0.5, ge=0, le=1)
    bf16: bool = True


def train_probe(
    images: NDArray[np.uint8],
    classes: NDArray[np.int64],
    validation_images: NDArray[np.uint8],
    validation_classes: NDArray[np.int64],
    *,
    seed: int = 0,
    recipe: ProbeRecipe | None = None,
) -> Predict:
    """Train a probe and give it back as a function.

    Parameters
    ----------
    images, classes
        uint8 (N, S, S), grey, S at least 16; int (N,) from 0 to K - 1, every class present, K at least 2.
    validation_images, validation_classes
        The same of other patients, at least one picture; they choose the step whose weights are kept.
    seed
        Of initial weights, batches and shifts: the same seed gives the same probe on one machine.
    recipe
        None: the defaults.

    Returns
    -------
    callable
        From uint8 (M, S, S) to probabilities, float32 (M, K).

    Raises
    ------
    ManifestError
        If there is one class only, a class between 0 and K - 1 has no picture, or there is nothing to validate on.
    RecipeError
        If the training diverges.
    """
    settings = recipe or ProbeRecipe()
    outputs = _checked_outputs(images, classes, validation_images, validation_classes)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ProbeNet(outputs).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    probe = _Probe(network, device, settings.bf16)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        best = _fit(probe, settings, _batches(images, classes, settings, seed), validation_images, validation_classes)
    network.load_state_dict(best)
    return probe.predict


class _Probe:
    """The network with the device and the arithmetic it runs on."""

    def __init__(self, network: ProbeNet, device: torch.device, bf16: bool) -> None:
        self.network, self.device, self.bf16 = network, device, bf16

    def logits(self, images: NDArray[np.uint8]) -> Tensor:
        """float32 (M, K) from uint8 (M, S, S), whose grey range becomes [-1, 1]."""
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)[:, None].float() / 127.5 - 1.0
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            given: Tensor = self.network(batch.contiguous(memory_format=torch.channels_last))
        return given.float()

    def log_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 (M, K), with the network as it is in use."""
        self.network.eval()
        with torch.inference_mode():
            parts = [
                F.log_softmax(self.logits(images[start : start + _PREDICTION_BATCH]), dim=1).cpu().numpy()
                for start in range(0, len(images), _PREDICTION_BATCH)
            ]
        return np.concatenate(parts)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities, float32 (M, K)."""
        return np.exp(self.log_probabilities(images))


def _fit(
    probe: _Probe,
    settings: ProbeRecipe,
    batches: Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]],
    validation_images: NDArray[np.uint8],
    validation_classes: NDArray[np.int64],
) -> dict[str, Tensor]:
    """State of the network at the lowest validation loss, in which every class weighs the same."""
    optimiser = AdamW(probe.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    cycle = OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=settings.warmup, cycle_momentum=False
    )
    every = max(1, settings.steps // settings.checks)
    lowest, since, best = np.inf, 0, copy.deepcopy(probe.network.state_dict())
    for step in range(1, settings.steps + 1):
        probe.network.train()
        images, classes = next(batches)
        loss = F.cross_entropy(probe.logits(images), torch.from_numpy(classes).to(probe.device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        cycle.step()
        if step % every and step != settings.steps:
            continue
        value = _balanced_loss(probe.log_probabilities(validation_images), validation_classes)
        if not np.isfinite(value):
            raise RecipeError("The training of a probe diverged: lower its learning rate.")
        since += 1
        if value < lowest:
            lowest, since, best = value, 0, copy.deepcopy(probe.network.state_dict())
        if since == settings.patience:
            break
    return best


def _balanced_loss(log_probabilities: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    own = -log_probabilities[np.arange(classes.size), classes]
    return float(np.mean([own[classes == name].mean() for name in np.unique(classes)]))


def _batches(
    images: NDArray[np.uint8], classes: NDArray[np.int64], settings: ProbeRecipe, seed: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Endless batches in which every class is as likely as any other, shifted and mirrored at random."""
    rng = np.random.default_rng(seed)
    side = images.shape[1]
    reach = round(settings.shift * side)
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    counts = np.bincount(classes)
    chances = 1.0 / (counts.size * counts[classes])
    while True:
        rows = rng.choice(classes.size, size=settings.batch, p=chances)
        down, right = rng.integers(0, 2 * reach + 1, size=(2, settings.batch))
        batch = windows[rows, down, right]
        mirrored = rng.random(settings.batch) < settings.flip
        batch[mirrored] = batch[mirrored, :, ::-1]
        yield batch, classes[rows]


def _checked_outputs(
    images: NDArray[np.uint8],
    classes: NDArray[np.int64],
    validation_images: NDArray[np.uint8],
    validation_classes: NDArray[np.int64],
) -> int:
    """Check what a probe is to learn from, and give the number of classes."""
    for pictures, names in ((images, classes), (validation_images, validation_classes)):
        if pictures.dtype != np.uint8 or pictures.ndim != 3 or names.shape != (len(pictures),):
            raise ValueError(
                f"a probe takes uint8 (N, S, S) and (N,), got {pictures.dtype} {pictures.shape}, {names.shape}"
            )
    counts = np.bincount(classes) if classes.size else np.zeros(0, np.int64)
    if counts.size < 2 or (counts == 0).any():
        raise ManifestError("A probe needs training images of at least two classes: add images of the missing class.")
    if not validation_classes.size or validation_classes.max() >= counts.size:
        raise ManifestError("A probe needs validation images of the classes it is trained on: add some.")
    return int(counts.size)
