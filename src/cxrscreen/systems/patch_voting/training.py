"""Training patch voting: the organ network, then the classifier on what it segments."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import HEART, read_lung_mask, target_at
from cxrscreen.data.protocols import PARTS, Split
from cxrscreen.errors import ManifestError
from cxrscreen.imaging.read import read
from cxrscreen.nets.named import load_classifier_weights
from cxrscreen.progress import tracked
from cxrscreen.runtime.engine import Engine, load_engine
from cxrscreen.runtime.export_organs import export_organs
from cxrscreen.systems.patch_voting.morphology import ORGANS
from cxrscreen.systems.patch_voting.networks import organ_network, patch_classifier
from cxrscreen.systems.patch_voting.patch_images import ImageTable, JudgedPatches, LearnedPatches
from cxrscreen.systems.patch_voting.pipeline import find_organs
from cxrscreen.systems.patch_voting.preprocessing import organ_input, patch_image
from cxrscreen.systems.patch_voting.recipe import OrganRecipe, PatchHeadRecipe, PatchVotingRecipe
from cxrscreen.systems.patch_voting.splits import CLASS_SPLIT, ORGAN_SPLIT, shared, splits_of
from cxrscreen.systems.patch_voting.views import lungs_of_patch_image
from cxrscreen.systems.patch_voting.vote_task import VoteTask
from cxrscreen.train.batches import EvenBatches, drawn_chances, patients_of
from cxrscreen.train.head import fit_head, pooled_features
from cxrscreen.train.loop import fit
from cxrscreen.train.organs import OrganImages, OrganTask
from cxrscreen.train.steps import once

VALIDATION_BATCH = 32


@dataclass(frozen=True)
class Trained:
    """The two networks' states."""

    organs: Mapping[str, Tensor]
    classifier: Mapping[str, Tensor]


def train_patch_voting(
    recipe: PatchVotingRecipe,
    manifest: Manifest,
    work: Path,
    *,
    organs_in: Path | None = None,
    images_in: Path | None = None,
) -> Trained:
    """Train the organ network, then the classifier with it frozen.

    Parameters
    ----------
    recipe
        All numbers.
    manifest
        The images.
    work
        Folder for checkpoints, training curves (``metrics.csv``) and preprocessed images; a run that finds finished
        steps there does not repeat them.
    organs_in, images_in
        Folders of the organ network and of the preprocessed images, so that several trainings share them; None: in
        ``work``.

    Raises
    ------
    RecipeError
        If initial weights cannot be loaded, or a folder holds steps of another recipe or of other data.
    ManifestError
        If a part of a split lacks images or a class, or an image or mask is not there.
    """
    splits = splits_of(recipe, manifest)
    _check_files(manifest, splits)
    load_classifier_weights(patch_classifier(recipe.classifier, recipe.pooling), recipe.classifier.weights)
    torch.set_float32_matmul_precision("high")
    organs, made_organs = train_organs(recipe, manifest, organs_in or work / "organs")
    classifier = train_classifier(
        recipe,
        manifest,
        splits[CLASS_SPLIT],
        (organs, made_organs),
        images_in=images_in or work / "images",
        folder=work / "classifier",
    )
    return Trained(load_file(organs), load_file(classifier))


def train_organs(recipe: PatchVotingRecipe, manifest: Manifest, folder: Path) -> tuple[Path, str]:
    """Train the organ network alone, unless that is done.

    Returns
    -------
    tuple
        Its weights' file in ``folder``, and a fingerprint of what it was made from.
    """
    split = splits_of(recipe, manifest)[ORGAN_SPLIT]
    weights = folder / "final.safetensors"
    made = once(
        weights,
        {
            "recipe": recipe.organs.model_dump(mode="json"),
            "preprocessing": _universal(recipe),
            "compute": recipe.compute.alone().model_dump(mode="json"),
            "seed": recipe.seed,
            "split": split.digest,
        },
        lambda part: _save(_train_organs(recipe, manifest, split, folder), part),
    )
    return weights, made


def train_classifier(
    recipe: PatchVotingRecipe,
    manifest: Manifest,
    split: Split,
    organs: tuple[Path, str],
    *,
    images_in: Path,
    folder: Path,
) -> Path:
    """Train the classifier alone, on any split into classes, unless that is done.

    Parameters
    ----------
    recipe, manifest
        As for :func:`train_patch_voting`.
    split
        The images, and the class of each by its place; every class has an image in the training part.
    organs
        From :func:`train_organs`.
    images_in
        Folder of the preprocessed images of the split.
    folder
        Of checkpoints and curves.

    Returns
    -------
    Path
        Its weights' file in ``folder``.
    """
    weights, made_organs = organs
    images, final = images_in / "images.npy", folder / "final.safetensors"
    made_images = once(
        images,
        {
            "organs": made_organs,
            "side": recipe.image_side,
            "preprocessing": _universal(recipe),
            "split": split.digest,
        },
        lambda part: _preprocess_all(recipe, manifest, split, load_file(weights), part),
    )
    made = once(
        final,
        {
            "images": made_images,
            "recipe": recipe.classifier.model_dump(mode="json", exclude={"head"}),
            "preprocessing": _taught(recipe),
            "compute": recipe.compute.alone().model_dump(mode="json"),
            "seed": recipe.seed,
            "truth": [split.truth[i] for i in _learned_from(split)],
        },
        lambda part: _save(_train_classifier(recipe, manifest, split, images, folder), part),
    )
    head = recipe.classifier.head
    if head is None:
        return final
    headed = folder / "headed.safetensors"
    once(
        headed,
        {"classifier": made, "recipe": head.model_dump(mode="json")},
        lambda part: _save(_with_head(recipe, head, manifest, split, images, load_file(final)), part),
    )
    return headed


def _universal(recipe: PatchVotingRecipe) -> dict[str, object]:
    """The settings of the universal preprocessing, which both networks' images share."""
    settings = asdict(recipe.preprocessing)
    return {name: settings[name] for name in ("gamma", "working_side")}


def _taught(recipe: PatchVotingRecipe) -> dict[str, object]:
    """What the classifier learns by; when screening asks again changes nothing of that."""
    settings = asdict(recipe.preprocessing)
    return {name: value for name, value in settings.items() if name != "ask_again"}


def _check_files(manifest: Manifest, splits: Mapping[str, Split]) -> None:
    """Find now what would otherwise stop the training later."""
    for name, split in splits.items():
        for image_id in (i for part in PARTS for i in split.part(part)):
            masks = [manifest.mask_file(image_id), _heart_file(manifest, image_id)] if name == ORGAN_SPLIT else []
            for file in (manifest.image_file(image_id), *masks):
                if file is None or not file.is_file():
                    raise ManifestError(f"A file that the manifest names for {image_id} is not there: correct it.")


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, path)


# Organs -----------------------------------------------------------------------------------------------------------


def _train_organs(recipe: PatchVotingRecipe, manifest: Manifest, split: Split, folder: Path) -> dict[str, Tensor]:
    lightning.seed_everything(recipe.seed, verbose=False)
    own = recipe.organs
    learned = shared(split.train, own.share, recipe.seed, lambda _: 0)
    images, targets = _with_targets(recipe, manifest, learned)
    seen, truth = _with_targets(recipe, manifest, split.validation)
    network = organ_network(own)
    state: dict[str, Tensor] = dict(network.state_dict())
    for number, phase in enumerate(own.phases, start=1):
        network.load_state_dict(state)
        batches = phase.batches or -(-len(learned) // phase.batch)
        sampler = EvenBatches(
            ["all"] * len(learned),
            manifest.table.loc[learned, "source"].tolist(),
            weights=phase.source_weights,
            batch=phase.batch,
            batches=batches,
            seed=recipe.seed,
            patients=patients_of(manifest.table.loc[learned], phase),
        )
        state = fit(
            OrganTask(
                network, phase, phase.epochs * batches, recipe.seed, names=ORGANS, weights=list(own.class_weights)
            ),
            DataLoader(OrganImages(images, targets, own.augment), batch_sampler=sampler),
            DataLoader(OrganImages(seen, truth, None), batch_size=VALIDATION_BATCH),
            phase,
            recipe.compute,
            folder / f"phase{number}",
        )
    return state


def _with_targets(
    recipe: PatchVotingRecipe, manifest: Manifest, image_ids: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    side = recipe.organs.side

    def load(image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        view = organ_input(read(manifest.image_file(image_id)).pixels, side, recipe.preprocessing)
        return np.round((view + 1.0) * 127.5).astype(np.uint8), target_at(organ_target(manifest, image_id), side)

    with ThreadPoolExecutor(2) as pool:
        pairs = list(tracked(pool.map(load, image_ids), "Reading masks", total=len(image_ids)))
    return np.stack([image for image, _ in pairs]), np.stack([target for _, target in pairs])


def organ_target(manifest: Manifest, image_id: str) -> NDArray[np.uint8]:
    """Reference masks of an image in one: the lungs, and the heart where no lung is.

    Returns
    -------
    ndarray
        uint8 (H, W): 0 background, 1 right lung (viewer's left), 2 left lung, 3 heart.

    Raises
    ------
    ManifestError
        If the image lacks a mask, one cannot be read, or the two have different sizes.
    """
    lung_file, heart_file = manifest.mask_file(image_id), _heart_file(manifest, image_id)
    if lung_file is None or heart_file is None:
        raise ManifestError(f"{image_id} lacks a lung or a heart mask: fill the columns lung_mask and heart_mask.")
    lungs, heart = read_lung_mask(lung_file), read_lung_mask(heart_file)
    if lungs.shape != heart.shape:
        raise ManifestError(
            f"The lung and the heart mask of {image_id} differ in size: give masks of the image's size."
        )
    target = np.where(lungs == HEART, 0, lungs)
    return np.where((target == 0) & (heart == HEART), HEART, target).astype(np.uint8)


def _heart_file(manifest: Manifest, image_id: str) -> Path | None:
    name = str(manifest.table.at[image_id, "heart_mask"])
    return manifest.root / name if name else None


# The images that patches are cut from, preprocessed and segmented once --------------------------------------------


def _learned_from(split: Split) -> list[str]:
    """Images that the classifier learns from or is chosen by, in the order of the stored arrays."""
    return sorted([*split.train, *split.validation])


def _preprocess_all(
    recipe: PatchVotingRecipe, manifest: Manifest, split: Split, organs: Mapping[str, Tensor], path: Path
) -> None:
    network, settings = engine_of(recipe.organs, organs, path.parent / "engine"), recipe.preprocessing
    image_ids, side = _learned_from(split), recipe.image_side
    arrays = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(image_ids), 2, side, side))

    def prepare(index: int) -> None:
        pixels = read(manifest.image_file(image_ids[index])).pixels
        found = find_organs(network, pixels, settings)
        lungs, _ = lungs_of_patch_image(found.mask, found.probabilities, side)
        arrays[index, 0], arrays[index, 1] = patch_image(pixels, settings), lungs

    with ThreadPoolExecutor(2) as pool:
        for _ in tracked(pool.map(prepare, range(len(image_ids))), "Segmenting", total=len(image_ids)):
            pass
    arrays.flush()


def engine_of(recipe: OrganRecipe, state: Mapping[str, Tensor], folder: Path) -> Engine:
    """The organ network as the screening path runs it: exported and compiled."""
    folder.mkdir(parents=True, exist_ok=True)
    network = organ_network(recipe)
    network.load_state_dict(state)
    weights, graph = folder / "network.safetensors", folder / "network.onnx"
    export_organs(network, recipe.side, weights, graph)
    return load_engine(graph)


# Classifier -------------------------------------------------------------------------------------------------------


def _train_classifier(
    recipe: PatchVotingRecipe, manifest: Manifest, split: Split, images: Path, folder: Path
) -> dict[str, Tensor]:
    lightning.seed_everything(recipe.seed, verbose=False)
    own, settings = recipe.classifier, recipe.preprocessing
    arrays = np.load(images, mmap_mode="r")
    table = ImageTable(arrays, {image_id: row for row, image_id in enumerate(_learned_from(split))})
    learned = shared(split.train, own.share, recipe.seed, lambda i: split.truth[i])
    labels = [split.truth[i] for i in learned]
    training = LearnedPatches(table, learned, labels, settings, own.side, own.augment)
    judged = JudgedPatches(table, split.validation, settings, own.side, own.judged)
    network = patch_classifier(own, recipe.pooling, len(set(labels)))
    load_classifier_weights(network, own.weights)
    state: dict[str, Tensor] = dict(network.state_dict())
    for number, phase in enumerate(own.phases, start=1):
        network.load_state_dict(state)
        batches = phase.batches or -(-len(learned) // phase.batch)
        sampler = EvenBatches(
            [str(label) for label in labels],
            manifest.table.loc[learned, "source"].tolist(),
            weights=phase.source_weights,
            batch=phase.batch,
            batches=batches,
            seed=recipe.seed,
            patients=patients_of(manifest.table.loc[learned], phase),
        )
        task = VoteTask(
            network,
            phase,
            phase.epochs * batches,
            recipe.seed,
            labels=[split.truth[i] for i in split.validation],
            smoothing=own.smoothing,
        )
        state = fit(
            task,
            DataLoader(training, batch_sampler=sampler),
            DataLoader(judged, batch_size=VALIDATION_BATCH),
            phase,
            recipe.compute,
            folder / f"phase{number}",
        )
    return state


def _with_head(
    recipe: PatchVotingRecipe,
    head: PatchHeadRecipe,
    manifest: Manifest,
    split: Split,
    images: Path,
    state: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Fit the linear layer on the features that the phases made; classes and sources weigh what the last phase says.

    Images of a source weigh the same, also where the phase's ``even_patients`` evened out the patients' draws.
    """
    own = recipe.classifier
    learned = shared(split.train, own.share, recipe.seed, lambda i: split.truth[i])
    labels = [split.truth[i] for i in learned]
    table = ImageTable(np.load(images, mmap_mode="r"), {i: row for row, i in enumerate(_learned_from(split))})
    patches = JudgedPatches(table, learned, recipe.preprocessing, own.side, head.patches)
    network = patch_classifier(own, recipe.pooling, len(set(labels)))
    network.load_state_dict(state)
    chances = drawn_chances(labels, manifest.table.loc[learned, "source"].tolist(), own.phases[-1].source_weights)
    fit_head(
        network.classifier,
        pooled_features(network, patches, mirrored=False),
        np.repeat(labels, patches.count).tolist(),
        np.repeat(chances / patches.count, patches.count),
        penalty=head.penalty,
    )
    return dict(network.state_dict())
