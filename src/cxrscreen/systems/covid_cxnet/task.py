"""Training the classifier: weighted, smoothed cross-entropy, judged by its AUC and by where it looks."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.nets.classifier import Classifier
from cxrscreen.systems.covid_cxnet.recipe import TransferPhase
from cxrscreen.train.classifier import source_aucs
from cxrscreen.train.loop import SCORE
from cxrscreen.train.plateau import PlateauTask

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class ClassTask(PlateauTask):
    """One logit (sigmoid) or one for each class (softmax).

    Logged each epoch, for the learning curves: ``train_accuracy``, ``train_f1``, ``epoch_loss`` of the training images,
    ``accuracy``, ``f1``, ``validation_loss``, ``auc`` and ``lung_share`` of the validation images.

    Parameters
    ----------
    network, phase, steps, seed
        See :class:`cxrscreen.train.loop.Task`.
    sources
        Source of every validation image, by index.
    class_weights
        Of the loss, by class.
    smoothing
        Label smoothing in [0, 0.5).
    saliency
        Weight of the share of Grad-CAM inside the lungs in the score; the rest is the AUC's.
    """

    def __init__(
        self,
        network: Classifier,
        phase: TransferPhase,
        steps: int,
        seed: int,
        *,
        sources: Sequence[str],
        class_weights: Sequence[float],
        smoothing: float,
        saliency: float = 0.0,
    ) -> None:
        super().__init__(network, phase, steps, seed)
        self.sources = np.asarray(sources)
        self.class_weights = torch.tensor(class_weights, dtype=torch.float32)
        self.smoothing, self.saliency = smoothing, saliency
        self._learned: list[tuple[Tensor, Tensor]] = []
        self._seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        image, truth, _, _ = batch
        logits = self.network(image).float()
        self._learned.append((answers_of(logits.detach()).cpu(), truth.cpu()))
        return self.penalised(class_loss(logits, truth, self.class_weights.to(logits.device), self.smoothing))

    def on_train_epoch_end(self) -> None:
        """Log accuracy and macro F1 of the epoch's images, as varied."""
        answers, truth = (torch.cat(column).numpy() for column in zip(*self._learned, strict=True))
        self._learned.clear()
        self.log("train_accuracy", float(accuracy_score(truth, answers)))
        self.log("train_f1", float(f1_score(truth, answers, average="macro", zero_division=0.0)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Collect logits, and the share of each image's Grad-CAM inside its lungs."""
        image, truth, index, lungs = batch
        logits, shares = logits_and_lung_shares(self.network, image, truth, lungs)
        self._seen.append((logits.cpu(), truth.cpu(), index.cpu(), shares.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the score and what it is made of."""
        logits, truth, index, shares = (torch.cat(column) for column in zip(*self._seen, strict=True))
        self._seen.clear()
        if not torch.isfinite(logits).all():
            raise RecipeError("The training diverged (its outputs are no numbers): lower the learning rate.")
        answers = answers_of(logits).numpy()
        self.log("validation_loss", class_loss(logits, truth, self.class_weights, 0.0))
        self.log("accuracy", float(accuracy_score(truth, answers)))
        self.log("f1", float(f1_score(truth, answers, average="macro", zero_division=0.0)))
        auc = mean_auc(truth.numpy(), logits.numpy(), self.sources[index.numpy()])
        known = shares[~shares.isnan()]
        share = float(known.mean()) if len(known) else 0.0
        self.log("auc", auc)
        self.log("lung_share", share)
        self.log(SCORE, (1 - self.saliency) * auc + self.saliency * share, prog_bar=True)


def class_loss(logits: Tensor, truth: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Weighted cross-entropy with label smoothing: of a sigmoid for one logit, of a softmax for several.

    Parameters
    ----------
    logits
        float (N, 1) or (N, K).
    truth
        int64 (N,).
    weights
        float (2,) or (K,), by class.
    smoothing
        The share of a label given to all classes alike: of 0 and 1 they become e/2 and 1 - e/2 (Szegedy et al., 2016,
        Eq. 7).

    Returns
    -------
    Tensor
        The mean over images, weighted by their classes' weights.
    """
    if logits.shape[1] > 1:
        # Torch's own weights would weigh the smoothed part by the classes that it is given to, not by the image's.
        each = F.cross_entropy(logits, truth, reduction="none", label_smoothing=smoothing)
    else:
        target = truth.to(logits.dtype) * (1 - smoothing) + smoothing / 2
        each = F.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none")
    own = weights[truth]
    return (each * own).sum() / own.sum()


def rarity_weights(truth: Sequence[int], classes: int) -> list[float]:
    """Weights by class, N / (K n_k): their mean over the images is 1 (scikit-learn's ``balanced``)."""
    counts = np.bincount(np.asarray(truth), minlength=classes)
    return [float(len(truth) / (classes * count)) for count in counts]


def answers_of(logits: Tensor) -> Tensor:
    """Class of each image, int64 (N,): at probability 0.5, or of the greatest logit."""
    return (logits[:, 0] >= 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def logits_and_lung_shares(network: Classifier, image: Tensor, truth: Tensor, lungs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the share inside the lungs of the Grad-CAM of each image's true class.

    Parameters
    ----------
    network
        Any classifier.
    image
        float (N, C, S, S).
    truth
        int64 (N,).
    lungs
        uint8 (N, S, S), 1 inside.

    Returns
    -------
    tuple of Tensor
        float (N, K), and float (N,) in [0, 1], NaN for a map of zeros.
    """
    # Lightning validates in inference mode, in which nothing can be differentiated.
    with torch.inference_mode(False), torch.enable_grad():
        image = image.clone()
        with torch.no_grad():
            maps = network.feature_maps(image)
        maps = maps.clone().requires_grad_()
        logits = network.decide(maps, image)
        chosen = logits[:, 0] * (2 * truth - 1) if logits.shape[1] == 1 else logits.gather(1, truth[:, None].clone())
        (gradients,) = torch.autograd.grad(chosen.sum(), maps)
    with torch.no_grad():
        weights = gradients.float().mean(dim=(2, 3), keepdim=True)
        heat = F.relu((weights * maps.float()).sum(dim=1))
        inside = F.adaptive_avg_pool2d(lungs[:, None].float(), (maps.shape[2], maps.shape[3]))[:, 0]
        return logits.detach().float(), (heat * inside).sum(dim=(1, 2)) / heat.sum(dim=(1, 2))


def mean_auc(truth: NDArray[np.int64], logits: NDArray[np.float32], sources: NDArray[np.str_]) -> float:
    """Mean of the pooled AUC and the mean AUC within sources, and of that over the classes, each against the rest."""
    columns = logits.T if logits.shape[1] > 1 else logits.T[:1]
    found = []
    for place, scores in enumerate(columns):
        positive = truth == (place if len(columns) > 1 else 1)
        aucs = source_aucs(positive.astype(np.float32), scores, sources)
        within = [value for name, value in aucs.items() if name != "pooled"]
        found.append(float(np.mean([aucs["pooled"], *([np.mean(within)] if within else [])])))
    return float(np.mean(found))
