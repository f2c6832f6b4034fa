"""Training a mask: images with binary targets, of which pixels may be left open."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
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
from cxrscreen.train.recipe import AugmentSettings, Phase


class MaskImages(Dataset[tuple[Tensor, Tensor]]):
    """Square images with targets.

    Parameters
    ----------
    images
        uint8 (N, S, S).
    targets
        uint8 (N, S, S): 0, 1, or :data:`IGNORE`.
    side
        Side of what is given out.
    augment
        None for validation.
    """

    def __init__(
        self, images: NDArray[np.uint8], targets: NDArray[np.uint8], side: int, augment: AugmentSettings | None
    ) -> None:
        self.images, self.targets, self.side, self.augment = images, targets, side, augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, Tensor]:
        """Image float32 (1, S, S) in [-1, 1] and target float32 (1, S, S)."""
        index, seed = draw if isinstance(draw, tuple) else (draw, 0)
        image, target = self.images[index], self.targets[index]
        if self.augment is not None:
            rng = np.random.default_rng(seed)
            geometry = draw_geometry(self.augment, rng)
            grey = apply_geometry(image, geometry, self.side) / np.float32(255)
            mask = apply_geometry(target, geometry, self.side, nearest=True)
            grey = apply_intensity(grey, draw_intensity(self.augment, rng))
            # Bright or dark patches stand for consolidation, devices and burned-in marks: the lung goes on under them.
            grey = apply_rectangle(grey, draw_rectangle(self.augment, rng), value=float(rng.uniform()))
        else:
            grey, mask = image.astype(np.float32) / np.float32(255), target.astype(np.float32)
        return torch.from_numpy(2.0 * grey - 1.0)[None], torch.from_numpy(mask)[None]


class MaskTask(PlateauTask):
    """Cross-entropy, and soft Dice where ``dice``, on labelled pixels; the validation score is the mean Dice at 0.5.

    Parameters
    ----------
    network, phase, steps, seed
        See :class:`cxrscreen.train.loop.Task`.
    dice
        Whether soft Dice is a part of the loss.
    momentum
        Of plain stochastic gradient descent at the phase's learning rate; None: as the phase says.
    """

    def __init__(
        self,
        network: nn.Module,
        phase: Phase,
        steps: int,
        seed: int,
        *,
        dice: bool = True,
        momentum: float | None = None,
    ) -> None:
        super().__init__(network, phase, steps, seed)
        self.dice, self.momentum = dice, momentum
        self._seen: list[Tensor] = []

    def configure_optimizers(self) -> Any:
        """As the phase says, or stochastic gradient descent."""
        if self.momentum is None:
            return super().configure_optimizers()
        return SGD(
            self.network.parameters(),
            self.phase.learning_rate,
            momentum=self.momentum,
            weight_decay=self.phase.weight_decay,
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        image, target = batch
        return self.penalised(mask_loss(self.network(image), target, dice=self.dice))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Collect the Dice of each image."""
        image, target = batch
        known = target != IGNORE
        found = (self.network(image) >= 0) & known
        truth = (target == 1) & known
        both = (found & truth).sum(dim=(1, 2, 3)).float()
        size = found.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))
        self._seen.append(2 * both / size.clamp(min=1))

    def on_validation_epoch_end(self) -> None:
        """Log the mean Dice."""
        self.log(SCORE, torch.cat(self._seen).mean(), prog_bar=True)
        self._seen.clear()


def mask_loss(logits: Tensor, target: Tensor, *, dice: bool = True) -> Tensor:
    """Binary cross-entropy, and where ``dice`` one minus soft Dice, over labelled pixels only.

    Parameters
    ----------
    logits
        (N, 1, H, W).
    target
        Float (N, 1, H, W): 0, 1, or :data:`IGNORE`, whose pixels get a gradient of exactly zero.
    dice
        Whether soft Dice is a part of it.
    """
    known = (target != IGNORE).float()
    truth = target * known
    entropy = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
    loss: Tensor = (entropy * known).sum() / known.sum().clamp(min=1)
    if not dice:
        return loss
    probability = torch.sigmoid(logits.float()) * known
    both = (probability * truth).sum(dim=(1, 2, 3))
    size = probability.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))
    return loss + (1 - (2 * both + 1) / (size + 1)).mean()
