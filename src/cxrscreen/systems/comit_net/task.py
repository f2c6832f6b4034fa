"""Training all tasks at once: the switched sum of losses, judged by each task's own measure."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from cxrscreen.data.masks import IGNORE
from cxrscreen.errors import RecipeError
from cxrscreen.nets.comit import ComitNet, Outputs
from cxrscreen.systems.comit_net.recipe import ComitPhase, LossRules, Task
from cxrscreen.train.classifier import source_aucs
from cxrscreen.train.loop import SCORE
from cxrscreen.train.plateau import PlateauTask
from cxrscreen.train.switched import Term, diagnosis_term, health_term, mask_term, switched_sum

Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class ComitTask(PlateauTask):
    """The four tasks.

    Logged each epoch, for the learning curves: ``loss_TASK`` of the training images (a mean over those with the label);
    of the validation images ``lung_iou``, ``region_sensitivity`` and ``region_precision`` (of all pixels together, at
    0.5), ``auc_health``, ``auc_covid19`` and ``auc_other``; only what they can tell. Where that is nothing, the epoch
    is chosen by the loss on them.

    Parameters
    ----------
    network, phase, steps, seed
        See :class:`cxrscreen.train.loop.Task`.
    loss
        Weights and averaging.
    sources
        Source of every validation image, by index.
    """

    network: ComitNet

    def __init__(
        self, network: ComitNet, phase: ComitPhase, steps: int, seed: int, *, loss: LossRules, sources: Sequence[str]
    ) -> None:
        super().__init__(network, phase, steps, seed)
        self.loss, self.sources = loss, np.asarray(sources)
        self._seen: list[dict[str, Tensor]] = []
        self._losses: list[Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch, Eq. 8."""
        found = terms(self.network(batch[0]), batch, self.loss)
        for name, (loss, on) in found.items():
            if on.any():
                count = int(on.sum())
                self.log(f"loss_{name}", loss.sum() / count, on_step=False, on_epoch=True, batch_size=count)
        return self.penalised(switched_sum(found, self.loss.weights(), self.loss.over))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Collect the outcomes of each image."""
        image, lungs, region, health, diagnosis, index = batch
        outputs: Outputs = self.network(image)
        self._losses.append(switched_sum(terms(outputs, batch, self.loss), self.loss.weights(), self.loss.over).cpu())
        unknown = torch.full_like(health, float("nan"))
        row = dict.fromkeys(("lung_iou", "found", "false", "missed", "log_odds"), unknown)
        row |= {"health": health, "diagnosis": diagnosis, "index": index}
        if outputs.lungs is not None:
            found, false, missed = outcomes(outputs.lungs, lungs)
            iou = found / (found + false + missed).clamp(min=1)
            row["lung_iou"] = torch.where((lungs != IGNORE).any(dim=2).any(dim=1), iou, unknown)
        if outputs.disease is not None:
            row["found"], row["false"], row["missed"] = outcomes(outputs.disease, region)
        if outputs.health is not None:
            row["log_odds"] = _finite(outputs.health[:, 1] - outputs.health[:, 0])
        row["logits"] = unknown[:, None].expand(-1, 2) if outputs.diagnosis is None else _finite(outputs.diagnosis)
        self._seen.append({name: values.cpu() for name, values in row.items()})

    def on_validation_epoch_end(self) -> None:
        """Log the score and what it is made of."""
        seen = {name: torch.cat([row[name] for row in self._seen]) for name in self._seen[0]}
        self._seen.clear()
        measures = validation_measures(seen, self.sources[seen["index"].numpy()])
        for name, value in measures.items():
            self.log(name, value)
        score, loss = score_of(measures), float(torch.stack(self._losses).mean())
        self._losses.clear()
        self.log(SCORE, -loss if score is None else score, prog_bar=True)


def terms(outputs: Outputs, batch: Batch, rules: LossRules) -> dict[Task, Term]:
    """The terms of Eq. 8 for the tasks that the network has."""
    _, lungs, region, health, diagnosis, _ = batch
    found: dict[Task, Term] = {}
    if outputs.lungs is not None:
        found["lungs"] = mask_term(outputs.lungs, lungs)
    if outputs.disease is not None:
        found["disease"] = mask_term(outputs.disease, region, rules.region_weight)
    if outputs.health is not None:
        found["health"] = health_term(outputs.health, health)
    if outputs.diagnosis is not None:
        found["diagnosis"] = diagnosis_term(outputs.diagnosis, diagnosis)
    return found


def outcomes(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels found, called falsely and missed at probability 0.5, each float (N,), where the target is known."""
    called = logits[:, 1] >= logits[:, 0]
    inside, outside = target == 1, target == 0
    return tuple(pixels.sum(dim=(1, 2)).float() for pixels in (called & inside, called & outside, ~called & inside))  # type: ignore[return-value]


def validation_measures(seen: Mapping[str, Tensor], sources: NDArray[np.str_]) -> dict[str, float]:
    """What validation images tell of each task; a measure that they cannot tell is left out."""
    measures: dict[str, float] = {}
    iou = seen["lung_iou"][torch.isfinite(seen["lung_iou"])]
    if len(iou):
        measures["lung_iou"] = float(iou.mean())
    found, false, missed = (float(torch.nansum(seen[name])) for name in ("found", "false", "missed"))
    if found + missed > 0:
        measures["region_sensitivity"] = found / (found + missed)
        measures["region_precision"] = found / max(found + false, 1.0)
    truths = {"health": (seen["health"], seen["log_odds"])}
    truths |= {name: (seen["diagnosis"][:, i], seen["logits"][:, i]) for i, name in enumerate(("covid19", "other"))}
    for name, (truth, scores) in truths.items():
        known = (torch.isfinite(truth) & torch.isfinite(scores)).numpy()
        own = truth.numpy()[known]
        if np.unique(own).size == 2:
            values = scores.numpy()[known]
            within = [auc for at, auc in source_aucs(own, values, sources[known]).items() if at != "pooled"]
            measures[f"auc_{name}"] = float(
                np.mean([roc_auc_score(own, values), *([np.mean(within)] if within else [])])
            )
    return measures


def score_of(measures: Mapping[str, float]) -> float | None:
    """Mean of the lung IoU and the three AUCs, each of which is the mean of the pooled and the within-source ones.

    The region counts only where there is nothing else: few images have one, and chance would choose the epoch. None
    where there is nothing at all.
    """
    names = ("lung_iou", "auc_health", "auc_covid19", "auc_other")
    counted = [measures[name] for name in names if name in measures]
    counted = counted or [measures[name] for name in ("region_sensitivity", "region_precision") if name in measures]
    return float(np.mean(counted)) if counted else None


def _finite(logits: Tensor) -> Tensor:
    if not torch.isfinite(logits).all():
        raise RecipeError("The training diverged (its outputs are no numbers): lower the learning rate.")
    return logits.float()
