"""Training a binary classifier on regions of interest, judged within sources."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from cxrscreen.errors import RecipeError
from cxrscreen.explain.heat_map import upsample
from cxrscreen.nets.classifier import Classifier
from cxrscreen.train.augment import (
    apply_geometry,
    apply_intensity,
    apply_rectangle,
    draw_geometry,
    draw_intensity,
    draw_rectangle,
    match_quantiles,
)
from cxrscreen.train.batches import Draw
from cxrscreen.train.distillation import binary_divergence, incremental_loss
from cxrscreen.train.hints import Hints, OneDecision
from cxrscreen.train.loop import SCORE
from cxrscreen.train.plateau import PlateauTask
from cxrscreen.train.recipe import AugmentSettings, Phase

SMALLEST_CLASS = 10
"""Images of each class that a source needs in validation to count in the score."""


UNDECIDED = 0.5
"""Truth of a training image whose lungs were blanked: it speaks for neither class."""


class RoiImages(Dataset[tuple[Tensor, Tensor, int]]):
    """Cut-out lungs with a binary truth; the network's input is pixels x mask (x weighting).

    Parameters
    ----------
    pixels
        uint8 (N, S, S): grey values of the box, not filtered.
    masks
        uint8 (N, S, S): 1 inside the lungs.
    truth
        int (N,): 0 or 1.
    quantiles
        float32 (N, 64): grey quantiles inside the lungs, for histogram matching.
    side
        Side of what is given out.
    augment
        None for validation.
    weighting
        float32 (N, h, w) in [0, 1], enlarged to the box and multiplied in (Eq. 3 of the cascade paper), or None.
    plain
        Give the image without the weighting as a second channel, for a tutor.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        masks: NDArray[np.uint8],
        truth: NDArray[np.int64],
        quantiles: NDArray[np.float32],
        side: int,
        augment: AugmentSettings | None,
        weighting: NDArray[np.float32] | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self.plain = plain
        self.pixels, self.masks, self.truth, self.quantiles = pixels, masks, truth, quantiles
        self.side, self.augment, self.weighting = side, augment, weighting

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, Tensor, int]:
        """Image float32 (1 or 2, S, S) in [-1, 3], truth float32 (1,) (0, 1 or :data:`UNDECIDED`), and its index."""
        index, seed = draw if isinstance(draw, tuple) else (draw, 0)
        rng = np.random.default_rng(seed)
        settings = self.augment if self.augment is not None else STILL
        geometry = draw_geometry(settings, rng)
        grey = apply_geometry(self.pixels[index], geometry, self.side) / np.float32(255)
        filtered = apply_geometry(self.masks[index], geometry, self.side)
        truth = float(self.truth[index])
        if rng.random() < settings.blank:
            grey, truth = np.full_like(grey, rng.uniform()), UNDECIDED
        elif rng.random() < settings.histogram:
            other = int(rng.integers(len(self)))
            grey = match_quantiles(grey, self.quantiles[index], self.quantiles[other])
        if self.augment is not None:
            grey = apply_intensity(grey, draw_intensity(settings, rng))
            filtered = apply_rectangle(filtered, draw_rectangle(settings, rng))
        channels = [grey * filtered] if self.plain else []
        if self.weighting is not None:
            filtered = filtered * apply_geometry(
                upsample(self.weighting[index], (self.pixels.shape[1], self.pixels.shape[2])), geometry, self.side
            )
        image = 4.0 * np.stack([grey * filtered, *channels]) - 1.0
        return torch.from_numpy(image), torch.tensor([truth]), index


STILL = AugmentSettings(
    rotation=0, scale=0, aspect=0, shift=0, flip=0, gamma=0, contrast=0, brightness=0, blur=0, noise=0
)
"""No change at all: what validation sees."""


class BinaryTask(PlateauTask):
    """Cross-entropy with label smoothing; scored by the mean of pooled and within-source AUCs.

    Parameters
    ----------
    network, phase, steps, seed
        See :class:`cxrscreen.train.loop.Task`.
    sources
        Source of every validation image, by index.
    smoothing
        Label smoothing in [0, 0.5).
    offsets
        Log odds of every training image's source, added to its logit in the cross-entropy; see
        :meth:`cxrscreen.train.batches.EvenBatches.source_odds`. None: nothing is added.
    tutor, imitation
        A trained network with one logit, which sees each image as it is given (its last channel), and the share of
        the loss that is the divergence from its output; the rest is cross-entropy (Hinton et al. 2015).
    hint
        Weight of the difference between the feature maps and the tutor's, see :class:`cxrscreen.train.hints.Hints`.
    teacher, distillation
        Logits of the pre-trained network for every training image by index (NaN for new images), and lambda; see
        :func:`cxrscreen.train.distillation.incremental_loss`. None: plain training.
    """

    def __init__(
        self,
        network: Classifier,
        phase: Phase,
        steps: int,
        seed: int,
        *,
        sources: Sequence[str],
        smoothing: float,
        offsets: Tensor | None = None,
        tutor: OneDecision | None = None,
        imitation: float = 0.0,
        hint: float = 0.0,
        teacher: Tensor | None = None,
        distillation: float = 0.0,
    ) -> None:
        super().__init__(network, phase, steps, seed)
        self.sources = np.asarray(sources)
        self.smoothing = smoothing
        self.offsets, self.imitation = offsets, imitation
        # In a list, so that it is neither trained nor kept in checkpoints.
        self._tutors = [] if tutor is None else [tutor.eval().requires_grad_(False)]
        self.hint, self.hints = hint, None
        if tutor is not None and hint:
            shown = tutor.network
            self.hints = Hints(
                [(network.num_middle_features, shown.num_middle_features), (network.num_features, shown.num_features)]
            )
        self.teacher, self.distillation = teacher, distillation
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        image, truth, index = batch
        own = image[:, :1]
        maps = None if self.hints is None else self.network.maps_by_depth(own)
        logits = (self.network(own) if maps is None else self.network.decide(maps[1], own)).float()[:, 0]
        smooth = truth[:, 0] * (1 - 2 * self.smoothing) + self.smoothing
        offset = 0.0 if self.offsets is None else self.offsets.to(logits.device)[index]
        # A blanked image tells nothing, whatever its source: its own logit is what goes to zero.
        offset = offset * (truth[:, 0] != UNDECIDED)
        if self.teacher is not None:
            loss = incremental_loss(logits, smooth, self.teacher.to(logits.device)[index], self.distillation, offset)
        else:
            loss = F.binary_cross_entropy_with_logits(logits + offset, smooth)
            if self._tutors:
                with torch.no_grad():
                    shown, goals = self._tutors[0].to(logits.device).show(image[:, -1:])
                imitated = binary_divergence(shown.float()[:, 0], logits).mean()
                loss = (1 - self.imitation) * loss + self.imitation * imitated
                if self.hints is not None and maps is not None:
                    hint = self.hints(maps, goals, image[:, -1:])
                    self.log("hint", hint, prog_bar=True)
                    loss = loss + self.hint * hint
        return self.penalised(loss)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Collect logits."""
        image, truth, index = batch
        self._seen.append((self.network(image).float()[:, 0].cpu(), truth[:, 0].cpu(), index.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the score and what it is made of."""
        logits, truth, index = (torch.cat(column).numpy() for column in zip(*self._seen, strict=True))
        self._seen.clear()
        if not np.isfinite(logits).all():
            raise RecipeError("The training diverged (its outputs are no numbers): lower the learning rate.")
        aucs = source_aucs(truth, logits, self.sources[index])
        for name, value in aucs.items():
            self.log(f"auc_{name}", value)
        within = [value for name, value in aucs.items() if name != "pooled"]
        self.log(SCORE, float(np.mean([aucs["pooled"], *([np.mean(within)] if within else [])])), prog_bar=True)


def source_aucs(
    truth: NDArray[np.float32], scores: NDArray[np.float32], sources: NDArray[np.str_]
) -> Mapping[str, float]:
    """AUC pooled and within each source that holds at least :data:`SMALLEST_CLASS` images of either class."""
    result = {"pooled": float(roc_auc_score(truth, scores)) if np.unique(truth).size == 2 else 0.5}
    for source in np.unique(sources):
        own = sources == source
        positive = int((truth[own] == 1).sum())
        if min(positive, int(own.sum()) - positive) >= SMALLEST_CLASS:
            result[str(source)] = float(roc_auc_score(truth[own], scores[own]))
    return result
