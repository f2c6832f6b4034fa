"""Training the cascade: stage 1, then 2, then 3, each with all else frozen (cascade paper, section 3)."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import lightning
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import HEART_INCLUDED_SOURCES, lung_target, partial_lung_target, read_lung_mask
from cxrscreen.data.protocols import Split, make_split
from cxrscreen.errors import RecipeError
from cxrscreen.imaging.read import read
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.pretrained import load_pretrained
from cxrscreen.nets.unet import UNet
from cxrscreen.runtime.engine import Engine, load_engine
from cxrscreen.runtime.export import export_classifier, export_guided, export_segmenter
from cxrscreen.systems.bundle import Bundle, Card, DataCard, OperatingPoint, StageCard, sha256_of, write_card
from cxrscreen.systems.cascade.lungs import segmenter_input
from cxrscreen.systems.cascade.pipeline import Preprocessing, find_lungs, pneumonia_map
from cxrscreen.systems.cascade.recipe import CascadeRecipe, StagePhase, StageRecipe
from cxrscreen.systems.cascade.roi import Roi, RoiSettings, cut_lungs, network_input
from cxrscreen.train.augment import grey_quantiles
from cxrscreen.train.batches import EvenBatches
from cxrscreen.train.classifier import BinaryTask, RoiImages
from cxrscreen.train.loop import fit
from cxrscreen.train.segmenter import MaskImages, MaskTask

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
        The images; the protocols ``lungs``, ``stage2`` and ``stage3`` split them with the recipe's seed.
    work
        Folder for checkpoints and intermediate arrays; a run that finds finished steps there does not repeat them.
    """
    work.mkdir(parents=True, exist_ok=True)
    torch.set_float32_matmul_precision("high")
    lungs = _once(work / "lungs" / "final.safetensors", lambda: _train_lungs(recipe, manifest, work / "lungs"))
    segmenter = _engine_of(UNet(width=recipe.lungs.width), lungs, recipe.lungs.side, work / "lungs" / "engine")
    rois = _cut_all(recipe, manifest, segmenter, work / "rois.npz")
    split2, split3 = (make_split(name, manifest, recipe.seed) for name in ("stage2", "stage3"))
    stage2 = _once(
        work / "stage2" / "final.safetensors",
        lambda: _train_stage(recipe, recipe.stage2, manifest, split2, rois, None, {}, work / "stage2"),
    )
    classifier = _engine_of(DenseNet121(), stage2, recipe.side, work / "stage2" / "engine")
    maps = _h2_of(classifier, rois, recipe, split3)
    stage3 = _once(
        work / f"stage3-{recipe.h2}" / "final.safetensors",
        lambda: _train_stage(recipe, recipe.stage3, manifest, split3, rois, maps, stage2, work / f"stage3-{recipe.h2}"),
    )
    return Trained(lungs, stage2, stage3)


def _once(path: Path, train: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The state stored at ``path``, trained and stored first where it is not there yet."""
    if not path.is_file():
        state = train()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    return load_file(path)


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
        )
        state = fit(
            MaskTask(network, phase, phase.epochs * batches),
            DataLoader(MaskImages(images, targets, side, recipe.lungs.augment), batch_sampler=sampler),
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
        small = cv2.resize(target, (side, side), interpolation=cv2.INTER_NEAREST)
        return np.round((view + 1.0) * 127.5).astype(np.uint8), np.asarray(small, dtype=np.uint8)

    with ThreadPoolExecutor(2) as pool:
        pairs = list(track(pool.map(load, image_ids), "Reading masks", total=len(image_ids)))
    return np.stack([image for image, _ in pairs]), np.stack([target for _, target in pairs])


# The lungs of all images, cut out once ---------------------------------------------------------------------------


@dataclass(frozen=True)
class RoiTable:
    """Cut-out lungs of many images: uint8 pixels and masks (N, S, S), grey quantiles (N, 64), row by image id."""

    pixels: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    quantiles: NDArray[np.float32]
    row: Mapping[str, int]

    def rows(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of images."""
        return np.array([self.row[image_id] for image_id in image_ids], dtype=np.int64)

    def roi(self, image_id: str) -> Roi:
        """One image's region, as the pipeline would cut it (rounded to 8 bits)."""
        index = self.row[image_id]
        pixels = self.pixels[index].astype(np.float32) / np.float32(255)
        return Roi(pixels, self.masks[index].astype(np.float32), (0.0, 0.0, 1.0, 1.0), trusted=True)


def _cut_all(recipe: CascadeRecipe, manifest: Manifest, segmenter: Engine, path: Path) -> RoiTable:
    settings = RoiSettings(recipe.side, recipe.working_side)
    split = make_split("stage2", manifest, recipe.seed)
    image_ids = sorted([*split.train, *split.validation, *split.test])
    if not path.is_file():

        def cut(image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
            pixels = read(manifest.image_file(image_id)).pixels
            lungs = find_lungs(segmenter, pixels)
            roi = cut_lungs(pixels, lungs.mask, settings)
            quantiles = grey_quantiles(roi.pixels, roi.mask > 0)
            return np.round(roi.pixels * 255).astype(np.uint8), roi.mask.astype(np.uint8), quantiles

        with ThreadPoolExecutor(2) as pool:
            cuts = list(track(pool.map(cut, image_ids), "Cutting out lungs", total=len(image_ids)))
        pixels, masks, quantiles = (np.stack(column) for column in zip(*cuts, strict=True))
        np.savez(path, pixels=pixels, masks=masks, quantiles=quantiles, image_ids=np.array(image_ids))
    with np.load(path) as stored:
        row = {str(image_id): index for index, image_id in enumerate(stored["image_ids"])}
        return RoiTable(stored["pixels"], stored["masks"], stored["quantiles"], row)


# Stages 2 and 3 --------------------------------------------------------------------------------------------------


def _train_stage(
    recipe: CascadeRecipe,
    stage: StageRecipe,
    manifest: Manifest,
    split: Split,
    rois: RoiTable,
    weighting: NDArray[np.float32] | None,
    stage2: Mapping[str, Tensor],
    folder: Path,
) -> dict[str, Tensor]:
    lightning.seed_everything(recipe.seed, verbose=False)
    network = DenseNet121(dropout=stage.dropout)
    if stage.weights == "stage2":
        network.load_state_dict(stage2)
    else:
        load_pretrained(network, stage.weights)
    state: dict[str, Tensor] = dict(network.state_dict())
    for number, phase in enumerate(stage.phases, start=1):
        network.load_state_dict(state)
        state = _run_phase(recipe, stage, phase, manifest, split, rois, weighting, network, folder / f"phase{number}")
    return state


def _run_phase(
    recipe: CascadeRecipe,
    stage: StageRecipe,
    phase: StagePhase,
    manifest: Manifest,
    split: Split,
    rois: RoiTable,
    weighting: NDArray[np.float32] | None,
    network: nn.Module,
    folder: Path,
) -> dict[str, Tensor]:
    labels = manifest.table["label"]
    training = [i for i in split.train if not (phase.without_covid19 and labels[i] == "covid19")]
    batches = phase.batches or -(-len(training) // phase.batch)
    sampler = EvenBatches(
        # Normal, other pneumonia and COVID-19 are drawn evenly (section 3).
        [str(label) if label in ("normal", "covid19") else "other pneumonia" for label in labels[training]],
        manifest.table.loc[training, "source"].tolist(),
        weights=stage.source_weights,
        batch=phase.batch,
        batches=batches,
        seed=recipe.seed,
    )

    def images(ids: Sequence[str], *, augmented: bool) -> RoiImages:
        rows = rois.rows(ids)
        return RoiImages(
            rois.pixels[rows],
            rois.masks[rows],
            np.array([split.truth[i] for i in ids]),
            rois.quantiles[rows],
            phase.side,
            stage.augment if augmented else None,
            None if weighting is None else weighting[rows],
        )

    seen = [i for i in split.validation if not (phase.without_covid19 and labels[i] == "covid19")]
    task = BinaryTask(
        network, phase, phase.epochs * batches, manifest.table.loc[seen, "source"].tolist(), stage.smoothing
    )
    return fit(
        task,
        DataLoader(images(training, augmented=True), batch_sampler=sampler),
        DataLoader(images(seen, augmented=False), batch_size=VALIDATION_BATCH),
        phase,
        recipe.compute,
        folder,
    )


def _h2_of(classifier: Engine, rois: RoiTable, recipe: CascadeRecipe, split: Split) -> NDArray[np.float32]:
    """H2 of every pneumonia image at the size it is made in, float32 (N, h, w); zeros for images stage 3 never sees."""
    ids = [*split.train, *split.validation, *split.test]
    maps: NDArray[np.float32] | None = None
    for image_id in track(ids, "Heat maps of stage 2"):
        given = classifier(network_input(rois.roi(image_id).masked)[None, None])
        h2 = pneumonia_map(given, classifier.weights["classifier.weight"], recipe.h2)
        if maps is None:
            maps = np.zeros((len(rois.row), *h2.shape), np.float32)
        maps[rois.row[image_id]] = h2
    if maps is None:
        raise ValueError("no pneumonia image")
    return maps


def _engine_of(network: DenseNet121 | UNet, state: Mapping[str, Tensor], side: int, folder: Path) -> Engine:
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


# The bundle ------------------------------------------------------------------------------------------------------


def write_bundle(recipe: CascadeRecipe, manifest: Manifest, trained: Trained, out: Path) -> Bundle:
    """Export the networks and write the card, with provisional operating points at 0.5 and no results yet.

    Raises
    ------
    RecipeError
        If ``out`` holds files already.
    """
    if out.exists() and any(out.iterdir()):
        raise RecipeError(f"The folder {out.name} is not empty: give a new folder for the bundle.")
    out.mkdir(parents=True, exist_ok=True)
    segmenter = UNet(width=recipe.lungs.width)
    segmenter.load_state_dict(trained.lungs)
    export_segmenter(segmenter.eval(), recipe.lungs.side, out / "lungs.safetensors", out / "lungs.onnx")
    for name, state in (("pneumonia", trained.stage2), ("covid19", trained.stage3)):
        network = DenseNet121()
        network.load_state_dict(state)
        export_classifier(network.eval(), recipe.side, out / f"{name}.safetensors", out / f"{name}.onnx")
        if name == "covid19":
            export_guided(network, recipe.side, out / f"{name}.safetensors", out / f"{name}-guided.onnx")
    splits = {name: make_split(name, manifest, recipe.seed) for name in (recipe.lungs.protocol, "stage2", "stage3")}
    for name, split in splits.items():
        split.save(out / f"split-{name}.json.gz")
    card = Card(
        name="cascade",
        version=recipe.version,
        system="cascade",
        created=datetime.now(UTC).date().isoformat(),
        **yaml.safe_load(WORDS.read_text(encoding="utf-8")),
        preprocessing=asdict(Preprocessing(working_side=recipe.working_side, h2=recipe.h2)),
        stages=dict.fromkeys(("pneumonia", "covid19"), PROVISIONAL),
        data=_data_card(manifest, splits, recipe.seed),
        recipe=recipe.model_dump(mode="json"),
        files={file.name: sha256_of(file) for file in sorted(out.iterdir())},
    )
    return write_card(out, card)


PROVISIONAL = StageCard(
    operating_points={"half": OperatingPoint(threshold=0.5, rule="not chosen yet", site="none")}, default="half"
)

WORDS = Path(__file__).with_name("card.yaml")
"""What the card says in words: summary, intended use, what it is not for, limits, licence."""


def _data_card(manifest: Manifest, splits: Mapping[str, Split], seed: int) -> DataCard:
    table = manifest.table
    facts = table[["image_id", "label", "source", "group"]].reset_index(drop=True).sort_values("image_id")
    trained = sorted({i for split in splits.values() for i in split.train})
    counts: dict[str, dict[str, int]] = {}
    for (source, label), rows in table.loc[trained].groupby(["source", "label"]):
        counts.setdefault(str(source), {})[str(label)] = len(rows)
    return DataCard(
        images_sha256=hashlib.sha256(facts.to_csv(index=False).encode()).hexdigest(),
        splits={name: split.digest for name, split in splits.items()},
        seed=seed,
        images=counts,
        licences=sorted({text for text in table.loc[trained, "license"] if text}),
    )
