"""The tutor of stages 2 and 3: one EfficientNet-Lite0 from ImageNet weights, trained on both decisions at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0, load_lite_pretrained
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.systems.cascade.roi_table import RoiTable
from cxrscreen.train.batches import EvenBatches, patients_of
from cxrscreen.train.hints import OneDecision
from cxrscreen.train.loop import fit, kept_state
from cxrscreen.train.tutor import SeveralDecisions

DECISIONS: tuple[Literal["stage2", "stage3"], ...] = ("stage2", "stage3")
VALIDATION_BATCH = 64


def train_tutor(
    recipe: CascadeRecipe, manifest: Manifest, split2: Split, split3: Split, rois: RoiTable, folder: Path
) -> dict[str, Tensor]:
    """Train the tutor on the masked regions.

    Parameters
    ----------
    recipe
        With a ``tutor``.
    manifest, split2, split3
        The images; the parts of stage 2 are used, of which those of stage 3 are a share.
    rois
        Regions of all training and validation images.
    folder
        For checkpoints.

    Returns
    -------
    dict
        Two states of an :class:`EfficientNetLite0` with a logit for each of :data:`DECISIONS`, their names beginning
        with the decision that they teach. Stage 2's is the network at the end; stage 3's is the one with the best
        validation score for stage 3, whose few other pneumonias are known by heart long before the end.
    """
    settings = recipe.tutor
    if settings is None:
        raise ValueError("the recipe has no tutor")
    lightning.seed_everything(recipe.seed, verbose=False)
    network = EfficientNetLite0(len(DECISIONS), settings.dropout, recipe.pooling)
    load_lite_pretrained(network, settings.weights)
    training, seen = list(split2.train), list(split2.validation)
    labels, sources = manifest.table["label"], manifest.table["source"]
    truth, seen_truth = _truth(training, split2, split3), _truth(seen, split2, split3)
    best: dict[str, Tensor] = dict(network.state_dict())
    last = best
    for number, phase in enumerate(settings.phases, start=1):
        network.load_state_dict(last)
        network.train()
        batches = phase.batches or -(-len(training) // phase.batch)
        sampler = EvenBatches(
            [group_of(str(label)) for label in labels[training]],
            sources[training].tolist(),
            weights=settings.source_weights,
            batch=phase.batch,
            batches=batches,
            seed=recipe.seed,
            patients=patients_of(manifest.table.loc[training], phase),
        )
        offsets = [sampler.source_odds(column, settings.odds_limit) for column in truth.T]
        best = fit(
            SeveralDecisions(
                network,
                phase,
                phase.epochs * batches,
                recipe.seed,
                names=DECISIONS,
                truth=torch.from_numpy(truth),
                offsets=torch.from_numpy(np.stack(offsets, axis=1)),
                seen_truth=torch.from_numpy(seen_truth),
                sources=sources[seen].tolist(),
                smoothing=settings.smoothing,
            ),
            DataLoader(
                rois.images(training, _given(training, split2), phase.side, settings.augment), batch_sampler=sampler
            ),
            DataLoader(rois.images(seen, _given(seen, split2), phase.side, None), batch_size=VALIDATION_BATCH),
            phase,
            recipe.compute,
            folder / f"phase{number}",
        )
        last = kept_state(folder / f"phase{number}", "last")
    return {
        f"{name}.{key}": value for name, state in (("stage2", last), ("stage3", best)) for key, value in state.items()
    }


def tutor_for(
    recipe: CascadeRecipe, state: Mapping[str, Tensor], decision: Literal["stage2", "stage3"]
) -> OneDecision | None:
    """Give the trained tutor's one logit for a decision; None where the recipe has no tutor."""
    if recipe.tutor is None:
        return None
    network = EfficientNetLite0(len(DECISIONS), pooling=recipe.pooling)
    prefix = f"{decision}."
    network.load_state_dict({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})
    tutor = OneDecision(network, DECISIONS.index(decision))
    return tutor.eval()


def group_of(label: str) -> str:
    """Group of a label from which batches are drawn evenly."""
    return label if label in ("normal", "covid19") else "other pneumonia"


def _given(image_ids: Sequence[str], split: Split) -> list[int]:
    return [split.truth[image_id] for image_id in image_ids]


def _truth(image_ids: Sequence[str], split2: Split, split3: Split) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    asked = {image_id for part in ("train", "validation", "test") for image_id in split3.part(part)}
    rows = [(split2.truth[i], split3.truth[i] if i in asked else np.nan) for i in image_ids]
    return np.array(rows, dtype=np.float32)
