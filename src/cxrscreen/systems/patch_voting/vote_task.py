"""Training the patch classifier: cross-entropy on patches, judged by the images' votes."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.systems.patch_voting.voting import CLASSES, class_probabilities, majority_vote
from cxrscreen.train.loop import SCORE
from cxrscreen.train.plateau import PlateauTask
from cxrscreen.train.schedule import PlateauPhase


class VoteTask(PlateauTask):
    """Cross-entropy on patches; the validation score is the macro F1 of the images' majority votes.

    The early stopping of the patch-voting paper (section III-C). Accuracy and macro F1 of the training patches of each
    epoch are logged beside those of the validation images: the curves of its Fig. 10.

    Parameters
    ----------
    network, phase, steps, seed
        See :class:`cxrscreen.train.loop.Task`.
    labels
        Class of every validation image, by index.
    smoothing
        Label smoothing in [0, 1).
    """

    def __init__(
        self,
        network: nn.Module,
        phase: PlateauPhase,
        steps: int,
        seed: int,
        *,
        labels: Sequence[int],
        smoothing: float,
    ) -> None:
        super().__init__(network, phase, steps, seed)
        self.labels, self.smoothing = np.asarray(labels), smoothing
        self._learned: list[tuple[Tensor, Tensor]] = []
        self._seen: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch of patches (N, 1, S, S) with classes (N,)."""
        patches, labels = batch
        logits = self.network(patches).float()
        self._learned.append((logits.detach().argmax(dim=1).cpu(), labels.cpu()))
        return self.penalised(F.cross_entropy(logits, labels, label_smoothing=self.smoothing))

    def on_train_epoch_end(self) -> None:
        """Log accuracy and macro F1 of the epoch's patches."""
        answers, truth = (torch.cat(column).numpy() for column in zip(*self._learned, strict=True))
        self._learned.clear()
        accuracy, macro_f1 = quality(truth, answers)
        self.log("train_accuracy", accuracy)
        self.log("train_f1", macro_f1)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Collect logits of patches (N, 1, S, S) with their images' indices (N,)."""
        patches, images = batch
        self._seen.append((self.network(patches).float().cpu(), images.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Let the patches of each image vote, and log what the votes are worth."""
        logits, images = (torch.cat(column).numpy() for column in zip(*self._seen, strict=True))
        self._seen.clear()
        if not np.isfinite(logits).all():
            raise RecipeError("The training diverged (its outputs are no numbers): lower the learning rate.")
        probabilities = class_probabilities(logits)
        shown = np.unique(images)
        answers = np.array([majority_vote(probabilities[images == image]).label for image in shown])
        accuracy, macro_f1 = quality(self.labels[shown], answers)
        self.log("accuracy", accuracy)
        self.log(SCORE, macro_f1, prog_bar=True)


def quality(truth: NDArray[np.int64], answers: NDArray[np.int64]) -> tuple[float, float]:
    """Accuracy, and F1 averaged over the classes that the truth has, both in [0, 1]."""
    present = [index for index in range(len(CLASSES)) if (truth == index).any()]
    return (
        float(accuracy_score(truth, answers)),
        float(f1_score(truth, answers, labels=present, average="macro", zero_division=0.0)),
    )
