"""Training masks of several organs at once: images with one class for each pixel."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from cxrscreen.data.masks import IGNORE
from cxrscreen.train.augment import (
    apply_geometry,
    apply_intensity,
    apply_rectangle,
    draw_geometry,
    draw_intensity,
    draw_rectangle,
)
from cxrscreen.train.batches import Draw
from cxrscreen.train.loop import SCORE
from cxrscreen.train.plateau import PlateauTask
from cxrscreen.train.recipe import AugmentSettings
from cxrscreen.train.schedule import PlateauPhase


class OrganImages(Dataset[tuple[Tensor, Tensor]]):
    """Square images with a class for each pixel.

    Parameters
    ----------
    images
        uint8 (N, S, S): what the network sees, 0 to 255 for -1 to 1.
    targets
        uint8 (N, S, S): class by pixel, or :data:`IGNORE`.
    augment
        None for validation. It must not mirror: left and right are classes.
    """

    def __init__(self, images: NDArray[np.uint8], targets: NDArray[np.uint8], augment: AugmentSettings | None) -> None:
        if augment is not None and augment.flip > 0:
            raise ValueError("left and right lung are classes: flip must be 0")
        self.images, self.targets, self.augment = images, targets, augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, Tensor]:
        """Image float32 (1, S, S) in [-1, 1] and target int64 (S, S)."""
        index, seed = draw if isinstance(draw, tuple) else (draw, 0)
        image, target = self.images[index], self.targets[index]
        side = image.shape[0]
        grey, classes = image.astype(np.float32) / np.float32(255), target.astype(np.float32)
        if self.augment is not None:
            rng = np.random.default_rng(seed)
            geometry = draw_geometry(self.augment, rng)
            grey = apply_geometry(image, geometry, side) / np.float32(255)
            classes = apply_geometry(target, geometry, side, nearest=True)
            grey = apply_intensity(grey, draw_intensity(self.augment, rng))
            # Bright or dark patches stand for consolidation and devices: the organ goes on under them.
            grey = apply_rectangle(grey, draw_rectangle(self.augment, rng), value=float(rng.uniform()))
        return torch.from_numpy(2.0 * grey - 1.0)[None], torch.from_numpy(classes.astype(np.int64))


class OrganTask(PlateauTask):
    """Weighted cross-entropy; the validation score is the mean Jaccard index over the organs.

    Parameters
    ----------
    network, phase, steps, seed
        See :class:`cxrscreen.train.loop.Task`.
    names
        Names of the classes; the first is background and does not count in the score.
    weights
        Weight of each class, the lambda_s of Eq. 2.
    """

    def __init__(
        self,
        network: nn.Module,
        phase: PlateauPhase,
        steps: int,
        seed: int,
        *,
        names: Sequence[str],
        weights: Sequence[float],
    ) -> None:
        super().__init__(network, phase, steps, seed)
        self.names, self.weights = tuple(names), torch.tensor(weights, dtype=torch.float32)
        self._seen: list[Tensor] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        image, target = batch
        return self.penalised(organ_loss(self.network(image), target, self.weights))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Collect the Jaccard indices of each image."""
        image, target = batch
        self._seen.append(jaccard_indices(self.network(image), target))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over images and organs, and that of each organ."""
        each = torch.cat(self._seen).nanmean(dim=0)
        self._seen.clear()
        for name, value in zip(self.names[1:], each, strict=True):
            self.log(f"jaccard_{name}", value)
        self.log(SCORE, each.nanmean(), prog_bar=True)


def organ_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    r"""Weighted cross-entropy over labelled pixels (patch-voting paper, Eq. 2).

    .. math:: L = - \sum_s \sum_j \lambda_s \, 1(y_j = s) \, \log p(x_j)

    divided by the sum of the pixels' weights, so that the size of image and batch does not matter.

    Parameters
    ----------
    logits
        (N, C, H, W).
    target
        int64 (N, H, W): class, or :data:`IGNORE`, whose pixels get a gradient of exactly zero.
    weights
        float32 (C,).

    Returns
    -------
    Tensor
        Scalar; 0 where no pixel is labelled.
    """
    weights = weights.to(logits.device)
    # Summed afterwards: torch's own sum over pixels has no deterministic form on a GPU, which training asks for.
    each = F.cross_entropy(logits.float(), target, weights, ignore_index=IGNORE, reduction="none")
    known = target != IGNORE
    return each.sum() / weights[target[known]].sum().clamp(min=1e-6)


def jaccard_indices(logits: Tensor, target: Tensor) -> Tensor:
    """Jaccard index of each organ in each image, float (N, C - 1), without the background.

    Parameters
    ----------
    logits
        (N, C, H, W); a pixel belongs to the class with the largest one.
    target
        int64 (N, H, W): class, or :data:`IGNORE`, which is left out.

    Returns
    -------
    Tensor
        In [0, 1]; NaN where neither has the organ.
    """
    found, known = logits.argmax(dim=1), target != IGNORE
    columns = []
    for organ in range(1, logits.shape[1]):
        own, truth = (found == organ) & known, (target == organ) & known
        both, either = (own & truth).sum(dim=(1, 2)), (own | truth).sum(dim=(1, 2))
        columns.append(both / either)
    return torch.stack(columns, dim=1)
