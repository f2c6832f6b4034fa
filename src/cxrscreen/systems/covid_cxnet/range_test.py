"""The learning-rate range test of a recipe's classifier, on its training images alone."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cxrscreen.data.manifest import Manifest
from cxrscreen.nets.chexnet import CovidCxNet
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
from cxrscreen.systems.covid_cxnet.splits import CLASS_SPLIT
from cxrscreen.systems.covid_cxnet.task import class_loss
from cxrscreen.systems.covid_cxnet.training import class_batches, class_images, initial_network, loss_weights, prepare
from cxrscreen.train.learning_rate_range import RangeTest, learning_rate_range


def range_of_rates(
    recipe: CovidCxNetRecipe, manifest: Manifest, work: Path, *, steps: int, lowest: float, highest: float
) -> RangeTest:
    """Test learning rates for the first phase that is not frozen, or the first one where all are.

    Parameters
    ----------
    recipe, manifest, work
        As in :func:`cxrscreen.systems.covid_cxnet.training.train_covid_cxnet`; regions and pre-training found in the
        work folder are used, and made there otherwise.
    steps, lowest, highest
        As in :func:`cxrscreen.train.learning_rate_range.learning_rate_range`.
    """
    prepared = prepare(recipe, manifest, work)
    split = prepared.splits[CLASS_SPLIT]
    phases = recipe.classifier.phases
    phase = next((phase for phase in phases if not phase.frozen), phases[0])
    phase = phase.model_copy(update={"batches": steps})
    if recipe.compute.threads is not None:
        torch.set_num_threads(recipe.compute.threads)
    network = initial_network(recipe, prepared.findings)
    if isinstance(network, CovidCxNet):
        network.freeze(phase.frozen)
    weights = torch.tensor(loss_weights(recipe, split))
    images, _ = class_images(prepared.table, split, prepared.settings, recipe)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for image, truth, _, _ in DataLoader(images, batch_sampler=class_batches(recipe, manifest, split, phase)):
            yield image, truth

    return learning_rate_range(
        network,
        batches(),
        lambda logits, truth: class_loss(logits, truth, weights, recipe.classifier.smoothing),
        steps=steps,
        lowest=lowest,
        highest=highest,
    )
