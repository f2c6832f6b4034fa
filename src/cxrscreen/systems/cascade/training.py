"""Training the cascade: stage 1, then 2, then 3, each with all else frozen (cascade paper, section 3)."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import HEART_INCLUDED_SOURCES, lung_target, partial_lung_target, read_lung_mask, target_at
from cxrscreen.data.protocols import PARTS, Part, Split, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.imaging.read import read
from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0, load_lite_pretrained
from cxrscreen.nets.named import classifier_named, load_classifier_weights
from cxrscreen.nets.unet import UNet
from cxrscreen.progress import tracked
from cxrscreen.runtime.engine import Engine, load_engine
from cxrscreen.runtime.export import export_classifier, export_segmenter
from cxrscreen.systems.cascade.lungs import segmenter_input
from cxrscreen.systems.cascade.pipeline import find_lungs, pneumonia_map
from cxrscreen.systems.cascade.recipe import CascadeRecipe, StagePhase, StageRecipe
from cxrscreen.systems.cascade.roi import cut_lungs, network_input
from cxrscreen.systems.cascade.roi_table import RoiTable
from cxrscreen.systems.cascade.stamps import lungs_stamp, rois_stamp, stage2_stamp, stage3_stamp, tutor_stamp
from cxrscreen.systems.cascade.tutoring import DECISIONS, group_of, train_tutor, tutor_for
from cxrscreen.train.augment import grey_quantiles
from cxrscreen.train.batches import EvenBatches, drawn_chances, patients_of
from cxrscreen.train.classifier import BinaryTask, RoiImages
from cxrscreen.train.head import fit_head, pooled_features
from cxrscreen.train.hints import OneDecision
from cxrscreen.train.loop import fit, kept_state
from cxrscreen.train.recipe import AugmentSettings
from cxrscreen.train.segmenter import MaskImages, MaskTask
from cxrscreen.train.steps import once

VALIDATION_BATCH = 64


@dataclass(frozen=True)
class Trained:
    """The three networks' states and sizes."""

    lungs: Mapping[str, Tensor]
    stage2: Mapping[str, Tensor]
    stage3: Mapping[str, Tensor]


def train_cascade(recipe: CascadeRecipe, manifest: Manifest, work: Path) -> Trained:
    """Train the three stages in order.

    Parameters
    ----------
    recipe
        All numbers.
    manifest
        The images; the recipe's protocols split them with its seed.
    work
        Folder for checkpoints and intermediate arrays; a run that finds finished steps there does not repeat them.

    Raises
    ------
    RecipeError
        If initial weights cannot be loaded, or the work folder holds steps of another recipe or of other data.
    ManifestError
        If a part of a split is empty or of one class, or an image or mask is not there.
    """
    splits = splits_of(recipe, manifest)
    _check_data(manifest, splits, recipe.lungs.protocol)
    for stage in (recipe.stage2, recipe.stage3):
        if stage.weights != "stage2":
            load_classifier_weights(classifier_named(stage.network), stage.weights)
    if recipe.tutor is not None:
        load_lite_pretrained(EfficientNetLite0(len(DECISIONS)), recipe.tutor.weights)
    torch.set_float32_matmul_precision("high")
    split2, split3 = splits["stage2"], splits["stage3"]

    lungs = work / "lungs" / "final.safetensors"
    made_lungs = once(
        lungs,
        lungs_stamp(recipe, manifest, splits[recipe.lungs.protocol], _partially_labelled(recipe, manifest)),
        lambda part: _save(_train_lungs(recipe, manifest, lungs.parent), part),
    )
    rois_file = work / "rois" / "rois.npz"
    made_rois = once(
        rois_file,
        rois_stamp(recipe, split2, lungs=made_lungs),
        lambda part: _cut_all(recipe, manifest, split2, load_file(lungs), part),
    )
    tutor = work / "tutor" / "final.safetensors"
    made_tutor = ""
    if recipe.tutor is not None:
        made_tutor = once(
            tutor,
            tutor_stamp(recipe, manifest, split2, split3, rois=made_rois),
            lambda part: _save(
                train_tutor(recipe, manifest, split2, split3, RoiTable.load(rois_file), tutor.parent), part
            ),
        )
    tutored = load_file(tutor) if recipe.tutor is not None else {}
    stage2 = work / "stage2" / "final.safetensors"
    made_stage2 = once(
        stage2,
        stage2_stamp(recipe, manifest, split2, rois=made_rois, tutor=made_tutor),
        lambda part: _save(
            train_stage(
                recipe,
                recipe.stage2,
                manifest,
                split2,
                RoiTable.load(rois_file),
                None,
                {},
                tutor_for(recipe, tutored, "stage2"),
                stage2.parent,
            ),
            part,
        ),
    )
    stage3 = work / f"stage3-{recipe.h2}" / "final.safetensors"

    def train_stage3(part: Path) -> None:
        rois, frozen = RoiTable.load(rois_file), load_file(stage2)
        maps = h2_maps(recipe, rois, split3, frozen, stage3.parent)
        teacher = tutor_for(recipe, tutored, "stage3")
        _save(train_stage(recipe, recipe.stage3, manifest, split3, rois, maps, frozen, teacher, stage3.parent), part)

    once(stage3, stage3_stamp(recipe, manifest, split3, stage2=made_stage2), train_stage3)
    return Trained(load_file(lungs), load_file(stage2), load_file(stage3))


def splits_of(recipe: CascadeRecipe, manifest: Manifest) -> dict[str, Split]:
    """Split the images for the three stages, by protocol."""
    return {name: make_split(name, manifest, recipe.seed) for name in (recipe.lungs.protocol, "stage2", "stage3")}


def _check_data(manifest: Manifest, splits: Mapping[str, Split], lungs: str) -> None:
    """Find now what would otherwise stop the training after hours."""
    for name, split in splits.items():
        for part in PARTS:
            classes = {split.truth[image_id] for image_id in split.part(part)}
            if not classes or (name != lungs and len(classes) < 2):
                kind = "no image" if not classes else "images of one class only"
                raise ManifestError(f"The {part} part of {name} has {kind}: add images, or use another protocol.")
            for image_id in split.part(part):
                files = [manifest.image_file(image_id), *([manifest.mask_file(image_id)] if name == lungs else [])]
                for file in files:
                    if file is None or not file.is_file():
                        raise ManifestError(f"A file that the manifest names for {image_id} is not there: correct it.")


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, path)


# Stage 1 ---------------------------------------------------------------------------------------------------------


def _train_lungs(recipe: CascadeRecipe, manifest: Manifest, folder: Path) -> dict[str, Tensor]:
    lightning.seed_everything(recipe.seed, verbose=False)
    split, side = make_split(recipe.lungs.protocol, manifest, recipe.seed), recipe.lungs.side
    partial = _partially_labelled(recipe, manifest)
    training = [*split.train, *partial]
    images, targets = _masked_images(manifest, training, side, partial=set(partial))
    seen, truth = _masked_images(manifest, split.validation, side, partial=set())
    network = UNet(width=recipe.lungs.width)
    state: dict[str, Tensor] = dict(network.state_dict())
    for number, phase in enumerate(recipe.lungs.phases, start=1):
        network.load_state_dict(state)
        batches = phase.batches or -(-len(training) // phase.batch)
        sampler = EvenBatches(
            ["lungs"] * len(training),
            manifest.table.loc[training, "source"].tolist(),
            weights=phase.source_weights,
            batch=phase.batch,
            batches=batches,
            seed=recipe.seed,
            patients=patients_of(manifest.table.loc[training], phase),
        )
        state = fit(
            MaskTask(network, phase, phase.epochs * batches, recipe.seed),
            DataLoader(MaskImages(images, targets, side, phase.augment or recipe.lungs.augment), batch_sampler=sampler),
            DataLoader(MaskImages(seen, truth, side, None), batch_size=VALIDATION_BATCH),
            phase,
            recipe.compute,
            folder / f"phase{number}",
        )
    return state


def _partially_labelled(recipe: CascadeRecipe, manifest: Manifest) -> list[str]:
    """Images of the heart-included sources that train stage 2, so that no test image has trained any stage."""
    trained = make_split("stage2", manifest, recipe.seed).train
    table = manifest.table.loc[list(trained)]
    table = table[(table["lung_mask"] != "") & (table["lung_mask_origin"] == "human")]
    rng = np.random.default_rng(recipe.seed)
    chosen: list[str] = []
    for source in HEART_INCLUDED_SOURCES:
        ids = table.loc[table["source"] == source, "image_id"].tolist()
        chosen += [str(i) for i in rng.permutation(ids)[: recipe.lungs.partial]]
    return chosen


def _masked_images(
    manifest: Manifest, image_ids: Sequence[str], side: int, partial: set[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    def load(image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        view = segmenter_input(read(manifest.image_file(image_id)).pixels, side)
        mask_file = manifest.mask_file(image_id)
        if mask_file is None:
            raise ValueError(f"{image_id} has no lung mask")
        mask = read_lung_mask(mask_file)
        target = partial_lung_target(mask) if image_id in partial else lung_target(mask)
        return np.round((view + 1.0) * 127.5).astype(np.uint8), target_at(target, side)

    with ThreadPoolExecutor(2) as pool:
        pairs = list(tracked(pool.map(load, image_ids), "Reading masks", total=len(image_ids)))
    return np.stack([image for image, _ in pairs]), np.stack([target for _, target in pairs])


# The lungs of all images, cut out once ---------------------------------------------------------------------------


def _cut_all(recipe: CascadeRecipe, manifest: Manifest, split: Split, lungs: Mapping[str, Tensor], path: Path) -> None:
    segmenter = _engine_of(UNet(width=recipe.lungs.width), lungs, recipe.lungs.side, path.parent / "engine")
    settings = recipe.preprocessing.roi(recipe.side)
    image_ids = sorted([*split.train, *split.validation])

    def cut(image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        pixels = read(manifest.image_file(image_id)).pixels
        roi = cut_lungs(pixels, find_lungs(segmenter, pixels).mask, settings)
        quantiles = grey_quantiles(roi.pixels, roi.mask > 0)
        return np.round(roi.pixels * 255).astype(np.uint8), roi.mask.astype(np.uint8), quantiles

    with ThreadPoolExecutor(2) as pool:
        cuts = list(tracked(pool.map(cut, image_ids), "Cutting out lungs", total=len(image_ids)))
    pixels, masks, quantiles = (np.stack(column) for column in zip(*cuts, strict=True))
    with path.open("wb") as file:
        np.savez(file, pixels=pixels, masks=masks, quantiles=quantiles, image_ids=np.array(image_ids))


# Stages 2 and 3 --------------------------------------------------------------------------------------------------


def train_stage(
    recipe: CascadeRecipe,
    stage: StageRecipe,
    manifest: Manifest,
    split: Split,
    rois: RoiTable,
    weighting: NDArray[np.float32] | None,
    stage2: Mapping[str, Tensor],
    tutor: OneDecision | None,
    folder: Path,
) -> dict[str, Tensor]:
    """Train stage 2 or 3, phase by phase.

    Parameters
    ----------
    recipe, stage
        All numbers, and those of this stage.
    manifest, split
        The images and their parts.
    rois
        Cut-out lungs of the training and validation images.
    weighting
        For stage 3, H2 by row of ``rois``, see :func:`h2_maps`; None for stage 2.
    stage2
        Stage 2's state, from which stage 3 may start.
    tutor
        What a phase with ``imitation`` imitates.
    folder
        For checkpoints; a run that finds them goes on.

    Returns
    -------
    dict
        State of the stage's network.
    """
    lightning.seed_everything(recipe.seed, verbose=False)
    network = classifier_named(stage.network, dropout=stage.dropout, pooling=recipe.pooling)
    if stage.weights == "stage2":
        network.load_state_dict(stage2)
        # The new decision starts undecided, not from the answer to another question.
        nn.init.zeros_(network.classifier.weight)
        nn.init.zeros_(network.classifier.bias)
    else:
        load_classifier_weights(network, stage.weights)
    state: dict[str, Tensor] = dict(network.state_dict())
    before: StagePhase | None = None
    for number, phase in enumerate(stage.phases, start=1):
        network.load_state_dict(state)
        run = _StageRun(
            recipe, stage, phase, manifest, split, rois, weighting, tutor if phase.imitation or phase.hint else None
        )
        teacher = run.outputs(network, before.side) if before is not None and phase.distillation else None
        state = run.fit(network, teacher, folder / f"phase{number}")
        before = phase
    if stage.head is not None:
        network.load_state_dict(state)
        training = list(split.train)
        truth, table = [split.truth[image_id] for image_id in training], manifest.table.loc[training]
        images = rois.images(training, truth, recipe.side, None, weighting)
        fit_head(
            network.classifier,
            pooled_features(network, images, mirrored=recipe.mirrored and stage is recipe.stage3),
            truth,
            drawn_chances(truth, table["source"].tolist(), stage.source_weights),
            penalty=stage.head.penalty,
        )
        state = dict(network.state_dict())
    return state


@dataclass(frozen=True)
class _StageRun:
    """One phase of stage 2 or 3: its images and how they are drawn."""

    recipe: CascadeRecipe
    stage: StageRecipe
    phase: StagePhase
    manifest: Manifest
    split: Split
    rois: RoiTable
    weighting: NDArray[np.float32] | None
    tutor: OneDecision | None

    def fit(self, network: Classifier, teacher: Tensor | None, folder: Path) -> dict[str, Tensor]:
        """Train, and give the state to keep."""
        # A phase that holds to the one before keeps its normalisation statistics and has no dropout: new images must
        # not shift the statistics under the old ones. Lightning leaves the mode as it finds it.
        network.train(mode=teacher is None)
        phase, labels, sources = self.phase, self.manifest.table["label"], self.manifest.table["source"]
        training, seen = self.kept("train"), self.kept("validation")
        batches = phase.batches or -(-len(training) // phase.batch)
        sampler = EvenBatches(
            # Normal, other pneumonia and COVID-19 are drawn evenly (section 3).
            [group_of(str(label)) for label in labels[training]],
            sources[training].tolist(),
            weights=self.stage.source_weights,
            batch=phase.batch,
            batches=batches,
            seed=self.recipe.seed,
            patients=patients_of(self.manifest.table.loc[training], phase),
        )
        task = BinaryTask(
            network,
            phase,
            phase.epochs * batches,
            self.recipe.seed,
            sources=sources[seen].tolist(),
            smoothing=self.stage.smoothing,
            offsets=torch.from_numpy(sampler.source_odds(self.truth(training), self.stage.odds_limit)),
            tutor=self.tutor,
            imitation=phase.imitation,
            hint=phase.hint,
            teacher=teacher,
            distillation=phase.distillation,
        )
        best = fit(
            task,
            DataLoader(self.images(training, phase.side, self.stage.augment), batch_sampler=sampler),
            DataLoader(self.images(seen, phase.side, None), batch_size=VALIDATION_BATCH),
            phase,
            self.recipe.compute,
            folder,
        )
        return best if phase.keep == "best" else kept_state(folder, "last")

    def outputs(self, network: nn.Module, side: int) -> Tensor:
        """Logits of the network as it is for the training images, (N,); NaN for COVID-19, which is new to it."""
        training = self.kept("train")
        network.eval()
        loader = DataLoader(self.images(training, side, None), batch_size=VALIDATION_BATCH)
        with torch.no_grad():
            logits = torch.cat([network(image)[:, 0] for image, _, _ in tracked(loader, "Outputs to hold to")])
        new = (self.manifest.table.loc[training, "label"] == "covid19").to_numpy(dtype=bool, copy=True)
        logits[torch.from_numpy(new)] = torch.nan
        return logits

    def kept(self, part: Part) -> list[str]:
        """Image ids of a part that this phase uses."""
        labels = self.manifest.table["label"]
        return [i for i in self.split.part(part) if not (self.phase.without_covid19 and labels[i] == "covid19")]

    def truth(self, ids: Sequence[str]) -> list[int]:
        """Truth of images, 0 or 1."""
        return [self.split.truth[image_id] for image_id in ids]

    def images(self, ids: Sequence[str], side: int, augment: AugmentSettings | None) -> RoiImages:
        """Regions of images at a side; for a tutor, while training, also as they are without H2."""
        plain = self.tutor is not None and self.weighting is not None and augment is not None
        return self.rois.images(ids, self.truth(ids), side, augment, self.weighting, plain=plain)


def h2_maps(
    recipe: CascadeRecipe, rois: RoiTable, split: Split, stage2: Mapping[str, Tensor], folder: Path
) -> NDArray[np.float32]:
    """H2 of the images that stage 3 learns from, as the pipeline makes it, float32 (N, h, w); zeros for the others."""
    network = classifier_named(recipe.stage2.network, pooling=recipe.pooling)
    classifier = _engine_of(network, stage2, recipe.side, folder / "engine")
    class_weights = classifier.weights["classifier.weight"]
    maps: NDArray[np.float32] | None = None
    for image_id in tracked([*split.train, *split.validation], "Heat maps of stage 2"):
        given = classifier(network_input(rois.roi(image_id).masked)[None, None])
        h2 = pneumonia_map(given, class_weights, recipe.h2)
        if maps is None:
            maps = np.zeros((len(rois.row), *h2.shape), np.float32)
        maps[rois.row[image_id]] = h2
    if maps is None:
        raise ManifestError("No pneumonia image is left to train stage 3: add some.")
    return maps


def _engine_of(network: Classifier | UNet, state: Mapping[str, Tensor], side: int, folder: Path) -> Engine:
    """The network as the screening path runs it: exported and compiled."""
    folder.mkdir(parents=True, exist_ok=True)
    network.load_state_dict(state)
    network.eval()
    weights, graph = folder / "network.safetensors", folder / "network.onnx"
    if isinstance(network, UNet):
        export_segmenter(network, side, weights, graph)
    else:
        export_classifier(network, side, weights, graph)
    return load_engine(graph)
