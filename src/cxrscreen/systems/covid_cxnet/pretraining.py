"""Pre-training on the 14 findings: CheXNet's task, on the images at hand that have them."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from cxrscreen.data.findings import FINDINGS
from cxrscreen.errors import RecipeError
from cxrscreen.train.loop import SCORE
from cxrscreen.train.plateau import PlateauTask

FEWEST = 5
"""Images with and without a finding that validation needs for its AUC to count."""


class FindingTask(PlateauTask):
    """A sigmoid for each finding; what is not known of an image is left out.

    Scored by the mean AUC over findings; where validation has too few images for any, by the loss on them, negated.
    """

    _seen: list[tuple[Tensor, Tensor]]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        image, truth, _, _ = batch
        return self.penalised(finding_loss(self.network(image).float(), truth))

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Collect logits."""
        image, truth, _, _ = batch
        self._seen.append((self.network(image).float().cpu(), truth.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the AUC of each finding and their mean."""
        logits, truth = (torch.cat(column).numpy() for column in zip(*self._seen, strict=True))
        self._seen.clear()
        if not np.isfinite(logits).all():
            raise RecipeError("The pre-training diverged (its outputs are no numbers): lower the learning rate.")
        aucs = finding_aucs(truth, logits)
        for name, value in aucs.items():
            self.log(f"auc_{name}", value)
        loss = float(finding_loss(torch.from_numpy(logits), torch.from_numpy(truth)))
        self.log(SCORE, float(np.mean(list(aucs.values()))) if aucs else -loss, prog_bar=True)


def finding_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean binary cross-entropy over what is known.

    Parameters
    ----------
    logits
        float (N, 14).
    truth
        float (N, 14): 1, 0, or NaN for not known, whose gradient is zero.
    """
    known = ~truth.isnan()
    each = F.binary_cross_entropy_with_logits(logits, torch.where(known, truth, 0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def finding_aucs(truth: NDArray[np.float32], scores: NDArray[np.float32]) -> dict[str, float]:
    """AUC of each finding that at least :data:`FEWEST` images have and as many do not, both (N, 14)."""
    result = {}
    for name, labels, column in zip(FINDINGS, truth.T, scores.T, strict=True):
        known = ~np.isnan(labels)
        present = int((labels[known] == 1).sum())
        if min(present, int(known.sum()) - present) >= FEWEST:
            result[name] = float(roc_auc_score(labels[known], column[known]))
    return result
