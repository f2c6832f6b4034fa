"""Training COMiT-Net: images and masks stored once, then all tasks at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import ManifestError
from cxrscreen.systems.comit_net.images import ComitImages, ImageTable, store_images, with_copies
from cxrscreen.systems.comit_net.labels import NO_CLASS, class_of
from cxrscreen.systems.comit_net.networks import comit_network
from cxrscreen.systems.comit_net.preprocessing import Preprocessing
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe, ComitPhase
from cxrscreen.systems.comit_net.region_recall import RegionMove, offset_between, with_region_recall
from cxrscreen.systems.comit_net.splits import Labelled, Parts, parts_of
from cxrscreen.systems.comit_net.task import ComitTask
from cxrscreen.systems.learned import facts_stamp
from cxrscreen.train.batches import EvenBatches, patients_of
from cxrscreen.train.loop import fit
from cxrscreen.train.steps import once

VALIDATION_BATCH = 16


@dataclass(frozen=True)
class Trained:
    """What a training leaves.

    Parameters
    ----------
    network
        State of :func:`cxrscreen.systems.comit_net.networks.comit_network`.
    settings
        The preprocessing, with the masks that were learned.
    decisions
        Names of the decisions that were learned.
    moved
        How the region's score was moved, where the recipe asks for it and a region was learned.
    """

    network: Mapping[str, Tensor]
    settings: Preprocessing
    decisions: tuple[str, ...]
    moved: RegionMove | None = None


@dataclass(frozen=True)
class Shared:
    """Stored images for several trainings.

    Parameters
    ----------
    folder
        Where they are kept.
    images
        All that any of the trainings reads.
    """

    folder: Path
    images: tuple[str, ...]


def train_comit_net(recipe: ComitNetRecipe, manifest: Manifest, work: Path, shared: Shared | None = None) -> Trained:
    """Train by a recipe.

    Parameters
    ----------
    recipe
        All numbers.
    manifest
        The images.
    work
        Folder for checkpoints, learning curves (``network/phaseN/metrics.csv``) and stored images; a run that finds
        finished steps there does not repeat them, and one that was stopped goes on.
    shared
        Stored images of several trainings; None: in ``work``.

    Raises
    ------
    RecipeError
        If initial weights are not there, or the work folder holds steps of another recipe or of other data.
    ManifestError
        If there is nothing to learn from, or an image or mask is not there.
    """
    parts = parts_of(recipe, manifest)
    # Found now, it does not stop the training after the images were read.
    comit_network(recipe, recipe.network.weights)
    torch.set_float32_matmul_precision("high")
    table, made = stored_images(recipe, manifest, parts, shared or Shared(work / "images", learned_from(parts)))
    file = work / "network" / "final.safetensors"
    trained = once(
        file,
        {
            "images": made,
            "recipe": recipe.model_dump(mode="json", include={"tasks", "data", "network", "loss", "phases", "augment"}),
            "compute": recipe.compute.alone().model_dump(mode="json"),
            "seed": recipe.seed,
            "split": parts.split.digest,
            "facts": facts_stamp(manifest, learned_from(parts)),
            # Batches may be drawn evenly over them.
            "views": manifest.table.loc[list(learned_from(parts)), "view"].tolist(),
        },
        lambda part: _save(_train(recipe, manifest, parts, table, file.parent), part),
    )
    state, settings = load_file(file), settings_of(recipe, parts)
    if recipe.region_recall is None or "disease" not in parts.masks:
        return Trained(state, settings, parts.decisions)
    asked = {"network": trained, "recall": recipe.region_recall, "mirrored": recipe.mirrored}
    other = file.with_name("moved.safetensors")
    once(other, asked, lambda part: _save(_moved(recipe, parts, table, state), part))
    moved = load_file(other)
    move = RegionMove(recipe.region_recall, int(parts.validation.diseased.sum()), offset_between(state, moved))
    return Trained(moved, settings, parts.decisions, move)


def learned_from(parts: Parts) -> tuple[str, ...]:
    """Images that anything learns from or is chosen by, in the order in which they are stored."""
    return tuple(sorted({*parts.train.image_ids, *parts.validation.image_ids}))


def settings_of(recipe: ComitNetRecipe, parts: Parts) -> Preprocessing:
    """What screening must do as training did."""
    return Preprocessing(
        masks=parts.masks,
        low=recipe.low,
        high=recipe.high,
        mirrored=recipe.mirrored,
        healthy_regions=recipe.data.healthy_regions,
    )


def stored_images(recipe: ComitNetRecipe, manifest: Manifest, parts: Parts, shared: Shared) -> tuple[ImageTable, str]:
    """Read images and masks unless that is done, and give them with a fingerprint of what they were made from."""
    for image_id in shared.images:
        if not manifest.image_file(image_id).is_file():
            raise ManifestError(f"The file that the manifest names for {image_id} is not there: correct it.")
    settings, side = settings_of(recipe, parts), recipe.network.side
    file = shared.folder / "images.npy"
    depends = {
        "images": shared.images,
        "lungs": manifest.table.loc[list(shared.images), "lung_mask"].tolist(),
        "regions": [parts.regions.drawn(image_id) for image_id in shared.images],
        "percentiles": (settings.low, settings.high),
        "side": side,
    }
    made = once(file, depends, lambda part: store_images(manifest, shared.images, parts.regions, settings, side, part))
    rows = {image_id: row for row, image_id in enumerate(shared.images)}
    return ImageTable(np.load(file, mmap_mode="r"), rows), made


def even_batches(recipe: ComitNetRecipe, manifest: Manifest, labelled: Labelled, phase: ComitPhase) -> EvenBatches:
    """How batches are drawn: evenly over the combinations of the facts that the recipe names."""
    rows = manifest.table.loc[list(labelled.image_ids)]
    alone = set(recipe.data.masks_alone)
    facts = {
        "class": [
            class_of("unknown" if source in alone else label)
            for source, label in zip(rows["source"], rows["label"], strict=True)
        ],
        "view": [
            NO_CLASS if source in alone and "class" not in recipe.data.even_over else view.removesuffix(" Supine")
            for source, view in zip(rows["source"], rows["view"], strict=True)
        ],
    }
    names = [name for name in recipe.data.even_over if name != "region"]
    groups = ["/".join(each) for each in zip(*(facts[name] for name in names), strict=True)] if names else None
    groups = groups or ["all"] * len(labelled.image_ids)
    if "region" in recipe.data.even_over:
        # One group of whatever class and view: they are few, and would be learned by heart if each view had its own.
        groups = ["region" if known else group for known, group in zip(labelled.diseased, groups, strict=True)]
    return EvenBatches(
        groups,
        rows["source"].tolist(),
        weights=phase.source_weights,
        batch=phase.batch,
        batches=phase.batches or -(-len(labelled.image_ids) // phase.batch),
        seed=recipe.seed,
        patients=patients_of(rows, phase),
    )


def _train(
    recipe: ComitNetRecipe, manifest: Manifest, parts: Parts, table: ImageTable, folder: Path
) -> dict[str, Tensor]:
    lightning.seed_everything(recipe.seed, verbose=False)
    network = comit_network(recipe, recipe.network.weights)
    train, places = with_copies(parts.train, copies=recipe.data.copies)
    learned = ComitImages(table, train, places, recipe.augment)
    judged = ComitImages(table, parts.validation, np.zeros(len(parts.validation.image_ids), np.int64), None)
    sources: Sequence[str] = manifest.table.loc[list(parts.validation.image_ids), "source"].tolist()
    state: dict[str, Tensor] = dict(network.state_dict())
    for number, phase in enumerate(recipe.phases, start=1):
        network.load_state_dict(state)
        batches = even_batches(recipe, manifest, train, phase)
        steps = phase.epochs * len(batches)
        state = fit(
            ComitTask(network, phase, steps, recipe.seed, loss=recipe.loss, sources=sources),
            DataLoader(learned, batch_sampler=batches),
            DataLoader(judged, batch_size=VALIDATION_BATCH),
            phase,
            recipe.compute,
            folder / f"phase{number}",
        )
    return state


def _moved(
    recipe: ComitNetRecipe, parts: Parts, table: ImageTable, state: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    assert recipe.region_recall is not None
    network = comit_network(recipe)
    network.load_state_dict(state)
    judged = ComitImages(table, parts.validation, np.zeros(len(parts.validation.image_ids), np.int64), None)
    return with_region_recall(network, judged, recipe.region_recall, mirrored=recipe.mirrored)


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
