"""What the COMiT-Net paper's tables need: trainings that differ in one thing, and what each says of the same images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.data.disease_masks import disease_masks
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import IGNORE
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.imaging.enhancement.levels import from_levels
from cxrscreen.nets.comit import ComitNet
from cxrscreen.systems.comit_net.answers import DISEASE, LEFT_OUT, LUNG_BOXES, LUNGS, REGION_TABLE, Answers, region_row
from cxrscreen.systems.comit_net.comparator_recipe import ClassifierComparator, MaskComparator
from cxrscreen.systems.comit_net.comparators import mask_input, train_classifier, train_mask
from cxrscreen.systems.comit_net.images import GREY, ImageTable
from cxrscreen.systems.comit_net.images import LUNGS as LUNG_PLANE
from cxrscreen.systems.comit_net.images import REGION as REGION_PLANE
from cxrscreen.systems.comit_net.lung_boxes import boxes_around
from cxrscreen.systems.comit_net.networks import comit_network
from cxrscreen.systems.comit_net.preprocessing import network_input
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe, Task
from cxrscreen.systems.comit_net.splits import IMAGES, parts_of, without
from cxrscreen.systems.comit_net.splits import LUNGS as LUNG_SPLIT
from cxrscreen.systems.comit_net.training import Shared, stored_images, train_comit_net

QUESTION = "comit-covid19"
"""Protocol of the decision that the tables measure."""
BATCH = 32


@dataclass(frozen=True)
class Asked:
    """Images of which a training is asked.

    Parameters
    ----------
    parts
        Part by image id.
    lungs, disease
        Images with a reference that trained nothing: outlines of lungs drawn by people without the heart, and
        diseased regions.
    """

    parts: Mapping[str, str]
    lungs: tuple[str, ...]
    disease: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """What a network says of a batch of N images; None for what it does not say."""

    covid19: Tensor | None = None
    other: Tensor | None = None
    unhealthy: Tensor | None = None
    pooled: Tensor | None = None
    heat: Tensor | None = None
    lungs: Tensor | None = None
    disease: Tensor | None = None


def combination_answers(
    recipe: ComitNetRecipe,
    manifest: Manifest,
    tasks: tuple[Task, ...],
    *,
    seed: int,
    left_out: tuple[str, ...],
    folder: Path,
    images_in: Path,
    ask_learned: bool,
) -> Answers:
    """Train a combination of tasks, unless that is done, and ask it.

    Parameters
    ----------
    recipe
        All other numbers; its seed parts the images.
    manifest
        The images.
    tasks
        What is learned.
    seed
        Of initial weights, batches and augmentation.
    left_out
        Sources of which nothing is learned, nor of another image of their patients.
    folder
        Of this training; a run that was stopped goes on.
    images_in
        Folder of the stored images, which all trainings share.
    ask_learned
        Whether the images of the training part are asked too, several times as many as the others: for classifiers
        that are fitted on what is said of them.

    Raises
    ------
    RecipeError, ManifestError
        As :func:`~cxrscreen.systems.comit_net.training.train_comit_net` says, or if a source that is left out is none
        of the recipe's.
    """
    own = _varied(recipe, tasks, seed, left_out)
    shared = shared_images(recipe, manifest, images_in)
    asked = asked_images(recipe, manifest, left_out)
    asked = asked if ask_learned else _not_learned(asked)
    table, _ = stored_images(own, manifest, parts_of(own, manifest), shared)
    network = comit_network(own)
    network.load_state_dict(dict(train_comit_net(own, manifest, folder / "work", shared).network))
    return ask(said_by_comit_net(network), network, recipe, asked, table)


def comparator_answers(
    recipe: ComitNetRecipe,
    manifest: Manifest,
    comparator: ClassifierComparator | MaskComparator,
    *,
    seed: int,
    left_out: tuple[str, ...],
    folder: Path,
    images_in: Path,
) -> Answers:
    """Train a comparator, unless that is done, and ask it of all but what it learned from.

    Parameters and errors are those of :func:`combination_answers`.
    """
    own = _varied(recipe, ("diagnosis",), seed, left_out)
    shared = shared_images(recipe, manifest, images_in)
    asked = _not_learned(asked_images(recipe, manifest, left_out))
    table, _ = stored_images(own, manifest, parts_of(own, manifest), shared)
    work = folder / "work"
    if isinstance(comparator, ClassifierComparator):
        network = train_classifier(own, manifest, comparator, work, shared)
        return ask(lambda x: Said(covid19=torch.sigmoid(network(x)[:, 0].double())), network, recipe, asked, table)
    lungs = train_mask(own, manifest, comparator, "lungs", work / "lungs", shared)
    disease = train_mask(own, manifest, comparator, "disease", work / "disease", shared)
    both = nn.ModuleList(network for network in (lungs, disease) if network is not None)

    def drawn(x: Tensor) -> Said:
        view = mask_input(x)
        masks = [None if network is None else network(view)[:, 0] >= 0 for network in (lungs, disease)]
        return Said(lungs=masks[0], disease=masks[1])

    return ask(drawn, both, recipe, Asked({}, asked.lungs, asked.disease), table)


def asked_images(recipe: ComitNetRecipe, manifest: Manifest, left_out: tuple[str, ...] = ()) -> Asked:
    """Find the images whose answer counts: adults with a label, of the sources whose labels are learned.

    Raises
    ------
    ManifestError
        If a part of what is learned from lacks COVID-19 or other images, or nothing that is left out has a label.
    """
    learned, seed = [name for name in recipe.data.learned if name not in left_out], recipe.splitting
    never = (*recipe.data.left_out, *left_out)
    sources = [name for name in learned if name not in recipe.data.masks_alone]
    split = without(make_split(QUESTION, manifest, seed, sources), manifest, never)
    parts = {i: part for part in ("train", "validation", "test") for i in split.part(part)}
    if left_out:
        whole = make_split(QUESTION, manifest, seed, left_out)
        parts |= dict.fromkeys(whole.truth, LEFT_OUT)
    for part in ("train", "validation", "test"):
        truths = {split.truth[i] for i in split.part(part)}
        if truths != {0, 1}:
            lacking = "other" if 0 not in truths else "COVID-19"
            raise ManifestError(f"The {part} part has no {lacking} image with a label that is learned: add some.")
    images = without(make_split(IMAGES, manifest, seed, learned), manifest, never)
    known = disease_masks(manifest).image_ids
    disease = tuple(i for i in sorted([*images.validation, *images.test]) if i in known)
    return Asked(parts, _lung_references(recipe, manifest, learned, set(images.truth)), disease)


def shared_images(recipe: ComitNetRecipe, manifest: Manifest, folder: Path) -> Shared:
    """All images that any training of these recipes reads, so that they are read once."""
    split = make_split(IMAGES, manifest, recipe.splitting, recipe.data.sources)
    return Shared(folder, tuple(sorted(split.truth)))


def ask(
    network: Callable[[Tensor], Said], modules: nn.Module, recipe: ComitNetRecipe, asked: Asked, table: ImageTable
) -> Answers:
    """Ask about images, and count the pixels of the regions that have a reference.

    Parameters
    ----------
    network
        From images float (N, 1, S, S) in [-1, 3] to what is said of them.
    modules
        What must be put in evaluation mode, and on the device.
    recipe
        Where to compute.
    asked
        The images; of none, nothing is said.
    table
        They, as stored.
    """
    device = "cuda" if torch.cuda.is_available() and recipe.compute.accelerator != "cpu" else "cpu"
    modules.to(device).eval()
    ids = tuple(sorted({*asked.parts, *asked.lungs, *asked.disease}))
    found: dict[str, list[NDArray[np.floating]]] = {}
    counts: list[dict[str, object]] = []
    for batch in _batches(ids):
        grey = np.stack([network_input(from_levels(table.image(i)[GREY]))[None] for i in batch])
        with torch.no_grad():
            said = network(torch.from_numpy(grey).to(device))
        for name, values in _arrays(said, len(batch)).items():
            found.setdefault(name, []).append(values)
        for row, image_id in enumerate(batch):
            counts.extend(_counted(image_id, asked, said, row, table.image(image_id)))
    # An image that is asked for its mask alone belongs to no part.
    parts = tuple(asked.parts.get(i, "") for i in ids)
    arrays = {name: np.concatenate(values) for name, values in found.items()} or _arrays(Said(), 0)
    return Answers(ids, parts, **arrays, regions=pd.DataFrame(counts, columns=list(REGION_TABLE)))


def _not_learned(asked: Asked) -> Asked:
    return replace(asked, parts={i: part for i, part in asked.parts.items() if part != "train"})


def _varied(recipe: ComitNetRecipe, tasks: tuple[Task, ...], seed: int, left_out: tuple[str, ...]) -> ComitNetRecipe:
    strange = [name for name in left_out if name not in recipe.data.sources]
    if strange:
        raise RecipeError(f"The source {strange[0]} is to be left out, but is none of the recipe's data.sources.")
    data = recipe.data.model_copy(update={"left_out": tuple(dict.fromkeys([*recipe.data.left_out, *left_out]))})
    if not data.learned:
        raise RecipeError(f"Without {', '.join(left_out)} there is no source to learn from: leave fewer out.")
    # Validation regions are measured too, and the rivals' scores are not moved by them either.
    return recipe.model_copy(
        update={"tasks": tasks, "seed": seed, "split_seed": recipe.splitting, "data": data, "region_recall": None}
    )


def _lung_references(
    recipe: ComitNetRecipe, manifest: Manifest, sources: Sequence[str], stored: set[str]
) -> tuple[str, ...]:
    try:
        return tuple(i for i in make_split(LUNG_SPLIT, manifest, recipe.splitting, sources).test if i in stored)
    except ManifestError:
        # No outline of these sources was drawn by a person without the heart.
        return ()


def said_by_comit_net(network: ComitNet) -> Callable[[Tensor], Said]:
    """Name what COMiT-Net gives: the first logit of Eq. 6 is COVID-19's, the second channel of Eq. 4 unhealthy."""

    def said(x: Tensor) -> Said:
        outputs = network(x)
        # In double precision: as float32 a logit of 17 is the probability 1, and rank is lost among the surest.
        diagnosis = None if outputs.diagnosis is None else torch.sigmoid(outputs.diagnosis.double())
        return Said(
            covid19=None if diagnosis is None else diagnosis[:, 0],
            other=None if diagnosis is None else diagnosis[:, 1],
            unhealthy=None if outputs.health is None else torch.softmax(outputs.health.double(), dim=1)[:, 1],
            pooled=outputs.pooled.float(),
            heat=None if network.diagnosis is None else covid19_heat(network.diagnosis, outputs.features.float()),
            lungs=None if outputs.lungs is None else outputs.lungs[:, 1] >= outputs.lungs[:, 0],
            disease=None if outputs.disease is None else outputs.disease[:, 1] >= outputs.disease[:, 0],
        )

    return said


def covid19_heat(branch: nn.Module, features: Tensor) -> Tensor:
    """Grad-CAM of the COVID-19 logit, float (N, h, w), not negative, largest value 1 where it is not all zero.

    Parameters
    ----------
    branch
        From pooled features (N, K) to logits (N, 2), COVID-19 first.
    features
        float (N, K, h, w), not negative.
    """
    with torch.enable_grad():
        pooled = features.mean(dim=(2, 3)).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(branch(pooled)[:, 0].sum(), pooled)
    heat = F.relu((slopes[:, :, None, None] * features).sum(dim=1))
    return heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def _arrays(said: Said, count: int) -> dict[str, NDArray[np.floating]]:
    """What a batch leaves in the answers, with NaN or width 0 for what was not said."""
    numbers = {
        name: np.full(count, np.nan) if values is None else values.double().cpu().numpy()
        for name, values in (("covid19", said.covid19), ("other", said.other), ("unhealthy", said.unhealthy))
    }
    empty = np.zeros((count, 0, 0), np.float32)
    pooled = np.zeros((count, 0), np.float32) if said.pooled is None else said.pooled.cpu().numpy()
    heat = empty if said.heat is None else said.heat.cpu().numpy()
    lungs = empty
    if said.lungs is not None and said.heat is not None:
        size = (said.heat.shape[1], said.heat.shape[2])
        lungs = F.adaptive_avg_pool2d(said.lungs[:, None].float(), size)[:, 0].cpu().numpy()
    return {**numbers, "pooled": pooled, "heat": heat, "lungs": lungs}


def _counted(
    image_id: str, asked: Asked, said: Said, row: int, stored: NDArray[np.uint8]
) -> Iterator[dict[str, object]]:
    """Pixels of each region of an image that has a reference and was drawn."""
    if image_id in asked.lungs and said.lungs is not None:
        drawn, known = said.lungs[row].cpu().numpy(), stored[LUNG_PLANE] != IGNORE
        reference = stored[LUNG_PLANE] == 1
        yield region_row(image_id, LUNGS, drawn, reference, known)
        yield region_row(image_id, LUNG_BOXES, boxes_around(drawn), boxes_around(reference))
    if image_id in asked.disease and said.disease is not None:
        reference = stored[REGION_PLANE] == 1
        yield region_row(image_id, DISEASE, said.disease[row].cpu().numpy(), reference)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
