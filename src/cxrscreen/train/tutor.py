"""Training one network on several decisions at once, to teach the networks that decide one each."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.train.classifier import source_aucs
from cxrscreen.train.loop import SCORE, Task
from cxrscreen.train.recipe import Phase


class SeveralDecisions(Task):
    """Cross-entropy over the decisions that an image has a truth for; scored by the last of them.

    The score is that of :class:`cxrscreen.train.classifier.BinaryTask`.

    Parameters
    ----------
    network, phase, steps, seed
        See :class:`cxrscreen.train.loop.Task`; the network gives K logits.
    names
        Names of the K decisions.
    truth, offsets
        float32 (N, K) for the training images: 0, 1 or NaN where a decision does not apply; and what is added to the
        logits, see :meth:`cxrscreen.train.batches.EvenBatches.source_odds`.
    seen_truth, sources
        float32 (M, K) and source names of the validation images.
    smoothing
        Label smoothing in [0, 0.5).
    """

    def __init__(
        self,
        network: nn.Module,
        phase: Phase,
        steps: int,
        seed: int,
        *,
        names: Sequence[str],
        truth: Tensor,
        offsets: Tensor,
        seen_truth: Tensor,
        sources: Sequence[str],
        smoothing: float,
    ) -> None:
        super().__init__(network, phase, steps, seed)
        self.names, self.truth, self.offsets, self.smoothing = tuple(names), truth, offsets, smoothing
        self.seen_truth, self.sources = seen_truth, np.asarray(sources)
        self._seen: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch: the sum over decisions of the mean over the images that have a truth."""
        image, _, index = batch
        logits = self.network(image).float() + self.offsets.to(image.device)[index]
        loss = several_losses(logits, self.truth.to(image.device)[index], self.smoothing)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Collect logits."""
        image, _, index = batch
        self._seen.append((self.network(image).float().cpu(), index.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the score and what it is made of."""
        logits, index = (torch.cat(column) for column in zip(*self._seen, strict=True))
        self._seen.clear()
        if not torch.isfinite(logits).all():
            raise RecipeError("The training diverged (its outputs are no numbers): lower the learning rate.")
        for column, name in enumerate(self.names):
            truth = self.seen_truth[index, column]
            asked = ~torch.isnan(truth)
            aucs = source_aucs(truth[asked].numpy(), logits[asked, column].numpy(), self.sources[index[asked].numpy()])
            for source, value in aucs.items():
                self.log(f"auc_{name}_{source}", value)
            within = [value for source, value in aucs.items() if source != "pooled"]
            score = float(np.mean([aucs["pooled"], *([np.mean(within)] if within else [])]))
            self.log(f"score_{name}", score)
        self.log(SCORE, score, prog_bar=True)


def several_losses(logits: Tensor, truth: Tensor, smoothing: float) -> Tensor:
    """Sum over decisions of the mean cross-entropy over the images that have a truth.

    Parameters
    ----------
    logits, truth
        float (N, K); NaN in the truth switches the term off.
    smoothing
        Label smoothing in [0, 0.5).

    Returns
    -------
    Tensor
        Scalar.
    """
    asked = ~torch.isnan(truth)
    smooth = torch.where(asked, truth, torch.zeros_like(truth)) * (1 - 2 * smoothing) + smoothing
    each = F.binary_cross_entropy_with_logits(logits, smooth, reduction="none") * asked
    return (each.sum(dim=0) / asked.sum(dim=0).clamp(min=1)).sum()
