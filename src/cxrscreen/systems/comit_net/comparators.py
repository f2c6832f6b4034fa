"""Training the networks that COMiT-Net is compared with, on its images, by the loops that this project has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import ManifestError
from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.mask_rcnn import MaskRCNN
from cxrscreen.nets.mobilenet import MobileNetV2, load_mobilenet_pretrained
from cxrscreen.nets.named import classifier_named, load_classifier_weights
from cxrscreen.nets.segnet import SegNet
from cxrscreen.nets.unet import UNet
from cxrscreen.nets.vgg import VGG, load_vgg_pretrained
from cxrscreen.systems.comit_net.comparator_recipe import ClassifierComparator, MaskComparator
from cxrscreen.systems.comit_net.images import ComitImages, with_copies
from cxrscreen.systems.comit_net.preprocessing import MaskTask as Region
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe, ComitPhase
from cxrscreen.systems.comit_net.splits import Labelled, Parts, parts_of
from cxrscreen.systems.comit_net.training import Shared, even_batches, learned_from, stored_images
from cxrscreen.systems.learned import facts_stamp
from cxrscreen.train.batches import Draw
from cxrscreen.train.classifier import BinaryTask
from cxrscreen.train.instances import InstanceTask
from cxrscreen.train.loop import Task, fit
from cxrscreen.train.segmenter import MaskTask
from cxrscreen.train.steps import once

VALIDATION_BATCH = 16


def train_classifier(
    recipe: ComitNetRecipe, manifest: Manifest, comparator: ClassifierComparator, folder: Path, shared: Shared
) -> Classifier:
    """Train a network that asks for COVID-19 alone, unless that is done.

    Parameters
    ----------
    recipe
        Whose images, parts, copies, groups of the draws, seed and computer it takes.
    manifest
        The images.
    comparator
        The network and its phases.
    folder
        For checkpoints and learning curves; a run that was stopped goes on.
    shared
        Stored images.

    Returns
    -------
    Classifier
        With one logit, the largest validation score's weights.

    Raises
    ------
    RecipeError, ManifestError
        As :func:`~cxrscreen.systems.comit_net.training.train_comit_net` says.
    """
    own = recipe.model_copy(update={"tasks": ("diagnosis",)})
    parts = parts_of(own, manifest)
    lightning.seed_everything(recipe.seed, verbose=False)
    network = initial_classifier(comparator)
    table, made = stored_images(own, manifest, parts, shared)
    train, places = with_copies(parts.train, copies=recipe.data.copies)
    learned = _Decisions(ComitImages(table, train, places, comparator.augment))
    judged = _Decisions(ComitImages(table, parts.validation, _uncopied(parts.validation), None))
    sources = manifest.table.loc[list(parts.validation.image_ids), "source"].tolist()

    def task(phase: ComitPhase, steps: int) -> Task:
        return BinaryTask(network, phase, steps, recipe.seed, sources=sources, smoothing=comparator.smoothing)

    depends = _depends(manifest, parts, made)
    job = _Job(own, manifest, train, learned, judged, folder, depends)
    _run(network, comparator, task, job)
    return network


def train_mask(
    recipe: ComitNetRecipe,
    manifest: Manifest,
    comparator: MaskComparator,
    region: Region,
    folder: Path,
    shared: Shared,
) -> nn.Module | None:
    """Train a network that draws one region, unless that is done; parameters and errors as :func:`train_classifier`.

    Returns
    -------
    Module
        From float (N, 1, S, S) in [-1, 1] to logits of the same shape; None where no image teaches the region.
    """
    own = recipe.model_copy(update={"tasks": (region, "health")})
    parts = parts_of(own, manifest)
    train, validation = (_with_region(part, region) for part in (parts.train, parts.validation))
    if not train.image_ids or (region == "disease" and not train.diseased.any()):
        return None
    if not validation.image_ids:
        raise ManifestError(f"The validation part has no {region} mask to choose {comparator.network} by: add some.")
    lightning.seed_everything(recipe.seed, verbose=False)
    network = mask_network(comparator, recipe.network.side)
    table, made = stored_images(own, manifest, parts, shared)
    train, places = with_copies(train, copies=recipe.data.copies)
    learned = _Masks(ComitImages(table, train, places, comparator.augment), region)
    judged = _Masks(ComitImages(table, validation, _uncopied(validation), None), region)
    kind = InstanceTask if comparator.network == "mask-rcnn" else MaskTask

    def task(phase: ComitPhase, steps: int) -> Task:
        return kind(network, phase, steps, recipe.seed, dice=comparator.dice, momentum=comparator.momentum)

    depends = _depends(manifest, parts, made)
    job = _Job(own, manifest, train, learned, judged, folder, depends)
    _run(network, comparator, task, job)
    return network


def initial_classifier(comparator: ClassifierComparator) -> Classifier:
    """Build a classifier with one logit and the recipe's weights; raises a ``RecipeError`` as their loaders do."""
    name, dropout, weights = comparator.network, comparator.dropout, comparator.weights
    if name == "mobilenetv2":
        mobile = MobileNetV2(1, dropout=dropout)
        load_mobilenet_pretrained(mobile, weights)
        return mobile
    if name == "vgg19":
        vgg = VGG(19, 1, dropout=dropout, width=comparator.width)
        load_vgg_pretrained(vgg, weights)
        return vgg
    network = classifier_named(name, 1, dropout=dropout)
    load_classifier_weights(network, weights)
    return network


def mask_network(comparator: MaskComparator, side: int) -> nn.Module:
    """Build a network that draws one region; raises a ``RecipeError`` for Mask R-CNN without torchvision."""
    if comparator.network == "mask-rcnn":
        return MaskRCNN(side)
    return (UNet if comparator.network == "unet" else SegNet)(1, width=comparator.width)


def mask_input(image: Tensor) -> Tensor:
    """Grey values as the mask networks take them, in [-1, 1], of those in [-1, 3]."""
    return (image - 1.0) / 2.0


@dataclass(frozen=True, eq=False)
class _Job:
    """What a comparator is trained on: its images, those that choose, and what all of it was made from."""

    recipe: ComitNetRecipe
    manifest: Manifest
    train: Labelled
    learned: Dataset[Any]
    judged: Dataset[Any]
    folder: Path
    depends: Mapping[str, object]


def _depends(manifest: Manifest, parts: Parts, made: str) -> Mapping[str, object]:
    own = learned_from(parts)
    # Batches may be drawn evenly over the views.
    views = manifest.table.loc[list(own), "view"].tolist()
    return {"images": made, "split": parts.split.digest, "facts": facts_stamp(manifest, own), "views": views}


def _run(
    network: nn.Module,
    comparator: ClassifierComparator | MaskComparator,
    task: Callable[[ComitPhase, int], Task],
    job: _Job,
) -> None:
    """All phases, each from the best state of the one before, unless that is done; leaves the best state."""
    recipe, file = job.recipe, job.folder / "final.safetensors"

    def make(path: Path) -> None:
        state: Mapping[str, Tensor] = network.state_dict()
        for number, phase in enumerate(comparator.phases, start=1):
            network.load_state_dict(state)
            batches = even_batches(recipe, job.manifest, job.train, phase)
            state = fit(
                task(phase, phase.epochs * len(batches)),
                DataLoader(job.learned, batch_sampler=batches),
                DataLoader(job.judged, batch_size=VALIDATION_BATCH),
                phase,
                recipe.compute,
                job.folder / f"phase{number}",
            )
        save_file({name: values.contiguous() for name, values in state.items()}, path)

    settings = {"comparator": comparator.model_dump(mode="json"), "data": recipe.data.model_dump(mode="json")}
    settings["compute"] = recipe.compute.alone().model_dump(mode="json")
    once(file, {**job.depends, **settings, "tasks": recipe.tasks, "seed": recipe.seed}, make)
    network.load_state_dict(load_file(file))


class _Decisions(Dataset[tuple[Tensor, Tensor, int]]):
    """COMiT-Net's images with COVID-19 as the one truth, as :class:`BinaryTask` takes them."""

    def __init__(self, images: ComitImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, Tensor, int]:
        image, _, _, _, diagnosis, index = self.images[draw]
        return image, diagnosis[:1], index


class _Masks(Dataset[tuple[Tensor, Tensor]]):
    """COMiT-Net's images with one region, as :class:`MaskTask` takes them."""

    def __init__(self, images: ComitImages, region: Region) -> None:
        self.images, self.region = images, region

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, Tensor]:
        image, lungs, disease, *_ = self.images[draw]
        return mask_input(image), (lungs if self.region == "lungs" else disease)[None].float()


def _with_region(labelled: Labelled, region: Region) -> Labelled:
    known = labelled.lungs if region == "lungs" else labelled.region
    return labelled.at(np.flatnonzero(known))


def _uncopied(labelled: Labelled) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.zeros(len(labelled.image_ids), np.int64)
