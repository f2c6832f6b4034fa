"""The learning-rate range test of a recipe's classifier, on its training images alone."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import RecipeError
from cxrscreen.nets.chexnet import CovidCxNet
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
from cxrscreen.systems.covid_cxnet.splits import CLASS_SPLIT
from cxrscreen.systems.covid_cxnet.task import class_loss
from cxrscreen.systems.covid_cxnet.training import class_batches, class_images, initial_network, loss_weights, prepare
from cxrscreen.train.learning_rate_range import RangeTest, check_range, learning_rate_range
from cxrscreen.train.loop import kept_state


def kept_start(recipe: CovidCxNetRecipe, work: Path) -> Path | None:
    """Folder of the phase whose kept state the tested one goes on from, where a work folder has it.

    None where the tested phase is the first, or the work folder has not trained the one before: the head is then at
    random.
    """
    folder = work / "classifier" / f"phase{_tested(recipe)}"
    return folder if (folder / "best.ckpt").is_file() else None


def range_of_rates(
    recipe: CovidCxNetRecipe, manifest: Manifest, work: Path, *, steps: int, lowest: float, highest: float
) -> RangeTest:
    """Test learning rates for the first phase that is not frozen, or the first one where all are.

    It begins from :func:`kept_start`, as the training would.

    Parameters
    ----------
    recipe, manifest, work
        As in :func:`cxrscreen.systems.covid_cxnet.training.train_covid_cxnet`; regions and pre-training found in the
        work folder are used, and made there otherwise.
    steps, lowest, highest
        As in :func:`cxrscreen.train.learning_rate_range.learning_rate_range`.

    Raises
    ------
    RecipeError
        If the work folder holds a phase of another classifier, or the test itself cannot be run.
    """
    # Before the hours that regions and pre-training may take.
    check_range(steps, lowest, highest)
    prepared = prepare(recipe, manifest, work)
    split = prepared.splits[CLASS_SPLIT]
    phase = recipe.classifier.phases[_tested(recipe)].model_copy(update={"batches": steps})
    if recipe.compute.threads is not None:
        torch.set_num_threads(recipe.compute.threads)
    network = initial_network(recipe, prepared.findings)
    start = kept_start(recipe, work)
    if start is not None:
        try:
            network.load_state_dict(kept_state(start, "best"))
        except RuntimeError as error:
            raise RecipeError(
                f"The work folder's {start.name} is of another classifier than the recipe's: give another --work."
            ) from error
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


def _tested(recipe: CovidCxNetRecipe) -> int:
    """Place of the tested phase, which is also the number of those before it."""
    return next((place for place, phase in enumerate(recipe.classifier.phases) if not phase.frozen), 0)
