"""Training COVID-CXNet: the regions, the 14 findings where asked for, then the classifier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import lightning
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from cxrscreen.data.findings import finding_targets
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.imaging.enhancement import grey_quantiles
from cxrscreen.imaging.enhancement.levels import from_levels
from cxrscreen.imaging.read import read
from cxrscreen.nets.chexnet import CovidCxNet
from cxrscreen.nets.classifier import Classifier
from cxrscreen.runtime.engine import Engine, load_engine
from cxrscreen.systems.bundle import open_bundle, sha256_of
from cxrscreen.systems.cascade.pipeline import find_lungs
from cxrscreen.systems.covid_cxnet.classes import CLASSES
from cxrscreen.systems.covid_cxnet.finding_head import FindingHead, chart_quality, fit_finding_head
from cxrscreen.systems.covid_cxnet.images import RegionImages, RegionTable, store_regions
from cxrscreen.systems.covid_cxnet.networks import backbone, class_network, finding_network, published_findings
from cxrscreen.systems.covid_cxnet.preprocessing import Preprocessing, region_of_interest
from cxrscreen.systems.covid_cxnet.pretraining import FindingTask
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe, TransferPhase
from cxrscreen.systems.covid_cxnet.splits import CLASS_SPLIT, FINDING_SPLIT, splits_of
from cxrscreen.systems.covid_cxnet.task import ClassTask, rarity_weights
from cxrscreen.systems.learned import facts_stamp
from cxrscreen.train.batches import EvenBatches, patients_of
from cxrscreen.train.loop import Task, fit
from cxrscreen.train.steps import once

VALIDATION_BATCH = 16
LUNGS = ("lungs.onnx", "lungs.safetensors")
"""The files of a bundle that find the lungs."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves: the networks' states and what the card must carry.

    Parameters
    ----------
    classifier
        State of the classifier.
    findings
        State of the network that was pre-trained on the findings, here or as published, or None.
    settings
        The preprocessing, with the reference of histogram matching.
    head
        The findings by a layer on the classifier's features, where the recipe asks for it.
    chart
        How good the exported chart of findings is; see `finding_head.FindingHead.agreement`.
    """

    classifier: Mapping[str, Tensor]
    findings: Mapping[str, Tensor] | None
    settings: Preprocessing
    head: FindingHead | None = None
    chart: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Shared:
    """What several trainings have in common, made once for all of them.

    Parameters
    ----------
    regions
        Folder of the cut-out regions.
    images
        Whose regions; all that any of the trainings learns from or is chosen by.
    findings
        State of a network that was pre-trained on the 14 findings, from which the classifier then begins; it takes the
        place of the recipe's pre-training and weights.
    """

    regions: Path
    images: tuple[str, ...]
    findings: Path | None = None


def train_covid_cxnet(
    recipe: CovidCxNetRecipe, manifest: Manifest, work: Path, shared: Shared | None = None
) -> Trained:
    """Train by a recipe.

    Parameters
    ----------
    recipe
        All numbers.
    manifest
        The images.
    work
        Folder for checkpoints, learning curves (``classifier/phaseN/metrics.csv``) and cut-out regions; a run that
        finds finished steps there does not repeat them.
    shared
        Regions and pre-training of several trainings; None: this one makes its own.

    Raises
    ------
    RecipeError
        If initial weights or the image to match are not there, or the work folder holds steps of another recipe or of
        other data.
    BundleError
        If the bundle that finds the lungs cannot be opened.
    ManifestError
        If a part of a split lacks a class, or an image is not there.
    """
    # Found now, a checkpoint without findings does not stop the training at its end.
    published = published_findings(recipe).state_dict() if recipe.classifier.chart else None
    prepared = prepare(recipe, manifest, work, shared)
    split, file = prepared.splits[CLASS_SPLIT], work / "classifier" / "final.safetensors"
    once(
        file,
        {
            **prepared.depends,
            "recipe": recipe.classifier.model_dump(mode="json"),
            "split": split.digest,
            "facts": facts_stamp(manifest, (*split.train, *split.validation)),
        },
        lambda part: _save(_train(recipe, manifest, prepared, file.parent), part),
    )
    state = load_file(file)
    if published is not None:
        return Trained(state, published, prepared.settings)
    if recipe.pretraining is None or not recipe.pretraining.exported:
        return Trained(state, prepared.findings, prepared.settings)
    return Trained(state, prepared.findings, prepared.settings, *_findings_chart(recipe, manifest, prepared, state))


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the classifier begins from.

    Parameters
    ----------
    splits
        By name, see :func:`cxrscreen.systems.covid_cxnet.splits.splits_of`.
    settings
        The preprocessing, with the reference of histogram matching.
    table
        The stored regions.
    findings
        State of the pre-trained network, or None.
    depends
        What all of this was made from, for :func:`cxrscreen.train.steps.once`.
    """

    splits: Mapping[str, Split]
    settings: Preprocessing
    table: RegionTable
    findings: Mapping[str, Tensor] | None
    depends: Mapping[str, object]


def prepare(recipe: CovidCxNetRecipe, manifest: Manifest, work: Path, shared: Shared | None = None) -> Prepared:
    """Cut out the regions and pre-train, unless they are there already; raises as :func:`train_covid_cxnet`."""
    splits = splits_of(recipe, manifest)
    learned = learned_from(splits)
    _check(recipe, manifest, learned, shared)
    torch.set_float32_matmul_precision("high")
    finder = lung_engine(recipe.lungs)
    settings = matched_preprocessing(recipe, manifest, finder)
    own = Shared(work / "regions", tuple(learned)) if shared is None else shared
    table, made = cut_regions(recipe, manifest, own.images, own.regions, finder)
    depends: dict[str, object] = {"regions": made, "settings": asdict(settings), "seed": recipe.seed}
    depends["compute"] = recipe.compute.alone().model_dump(mode="json")
    if own.findings is not None:
        depends["findings"] = sha256_of(own.findings)
        return Prepared(splits, settings, table, load_file(own.findings), depends)
    if recipe.pretraining is None:
        return Prepared(splits, settings, table, None, depends)
    split, file = splits[FINDING_SPLIT], work / "findings" / "final.safetensors"
    pretraining = recipe.pretraining.model_dump(mode="json", exclude={"exported", "chart"})
    depends["findings"] = once(
        file,
        {
            **depends,
            "recipe": pretraining,
            "network": recipe.classifier.network,
            "split": split.digest,
            "facts": facts_stamp(manifest, (*split.train, *split.validation)),
        },
        lambda part: _save(_pretrain(recipe, manifest, table, split, settings, file.parent), part),
    )
    return Prepared(splits, settings, table, load_file(file), depends)


def cut_regions(
    recipe: CovidCxNetRecipe, manifest: Manifest, image_ids: Sequence[str], folder: Path, finder: Engine
) -> tuple[RegionTable, str]:
    """Cut out the regions of images into a folder, unless it holds them; gives them and their fingerprint.

    A box is stored with its mask, which :class:`RegionImages` then leaves aside, so that both kinds share a folder.
    """
    file, settings, side = folder / "regions.npy", _as_cut(recipe.preprocessing()), recipe.classifier.side
    made = once(
        file,
        {"images": list(image_ids), "settings": _cutting(settings), "side": side, "lungs": _lungs_stamp(recipe)},
        lambda part: store_regions(manifest, image_ids, finder, settings, side, part),
    )
    rows = {image_id: row for row, image_id in enumerate(image_ids)}
    return RegionTable(np.load(file, mmap_mode="r"), rows), made


def lung_engine(bundle: str) -> Engine:
    """The network that finds the lungs, of a shipped bundle or of a folder."""
    opened = open_bundle(bundle)
    if not opened.file(LUNGS[0]).is_file():
        raise RecipeError(f"The bundle {Path(bundle).name} finds no lungs: name one with {LUNGS[0]} as lungs.")
    return load_engine(opened.file(LUNGS[0]))


def _lungs_stamp(recipe: CovidCxNetRecipe) -> str:
    """Digest of the lung network: a bundle of the same name may be another version."""
    return sha256_of(open_bundle(recipe.lungs).file(LUNGS[1]))


def matched_preprocessing(recipe: CovidCxNetRecipe, manifest: Manifest, lungs: Engine) -> Preprocessing:
    """The preprocessing, with the grey values of the region of the image that ``match`` names."""
    plain = recipe.preprocessing()
    if recipe.match is None:
        return plain
    if recipe.match not in manifest.table.index:
        raise RecipeError(f"The recipe's match names {recipe.match}, which the manifest does not have: correct it.")
    pixels = read(manifest.image_file(recipe.match)).pixels
    view = region_of_interest(pixels, find_lungs(lungs, pixels).mask, plain, recipe.classifier.side)
    return recipe.preprocessing(grey_quantiles(from_levels(view.grey)))


def learned_from(splits: Mapping[str, Split]) -> list[str]:
    """Images that anything learns from or is chosen by, in the order of the stored regions."""
    return sorted({i for split in splits.values() for i in (*split.train, *split.validation)})


def initial_network(recipe: CovidCxNetRecipe, findings: Mapping[str, Tensor] | None) -> Classifier:
    """The classifier before its training: pre-trained here, from the recipe's weights, or at random."""
    lightning.seed_everything(recipe.seed, verbose=False)
    network = class_network(recipe)
    if isinstance(network, CovidCxNet):
        own = recipe.classifier
        if findings is not None:
            kept = {name: values for name, values in findings.items() if not name.startswith("classifier.")}
            network.backbone.load_state_dict(kept)
        elif own.weights != "none":
            filled = backbone(own.network, recipe, own.weights)
            del filled.classifier
            network.backbone.load_state_dict(filled.state_dict())
    return network


def class_batches(recipe: CovidCxNetRecipe, manifest: Manifest, split: Split, phase: TransferPhase) -> EvenBatches:
    """How batches are drawn: evenly over the classes, or as the images come."""
    names = CLASSES[recipe.classes]
    even = recipe.classifier.balance == "batches"
    return _batches(
        [names[split.truth[i]] if even else "all" for i in split.train], manifest, split.train, phase, recipe.seed
    )


def loss_weights(recipe: CovidCxNetRecipe, split: Split) -> list[float]:
    """Weights of the classes in the loss."""
    count = len(CLASSES[recipe.classes])
    if recipe.classifier.balance != "weights":
        return [1.0] * count
    return rarity_weights([split.truth[i] for i in split.train], count)


def class_images(
    table: RegionTable, split: Split, settings: Preprocessing, recipe: CovidCxNetRecipe
) -> tuple[RegionImages, RegionImages]:
    """Training and validation images with their classes."""

    def labelled(ids: Sequence[str], *, varied: bool) -> RegionImages:
        truth = np.array([split.truth[i] for i in ids], np.int64)
        return RegionImages(table, ids, truth, settings, recipe.classifier.augment if varied else None)

    return labelled(split.train, varied=True), labelled(split.validation, varied=False)


def _train(recipe: CovidCxNetRecipe, manifest: Manifest, prepared: Prepared, folder: Path) -> dict[str, Tensor]:
    own, split = recipe.classifier, prepared.splits[CLASS_SPLIT]
    network = initial_network(recipe, prepared.findings)
    images = class_images(prepared.table, split, prepared.settings, recipe)

    def task(phase: TransferPhase, steps: int) -> Task:
        return ClassTask(
            network,
            phase,
            steps,
            recipe.seed,
            sources=manifest.table.loc[list(split.validation), "source"].tolist(),
            class_weights=loss_weights(recipe, split),
            smoothing=own.smoothing,
            saliency=own.saliency,
        )

    def batches(phase: TransferPhase) -> EvenBatches:
        return class_batches(recipe, manifest, split, phase)

    return _run(network, own.phases, task, images, batches, recipe, folder)


def _pretrain(
    recipe: CovidCxNetRecipe,
    manifest: Manifest,
    table: RegionTable,
    split: Split,
    settings: Preprocessing,
    folder: Path,
) -> dict[str, Tensor]:
    assert recipe.pretraining is not None
    own = recipe.pretraining
    lightning.seed_everything(recipe.seed, verbose=False)
    network = finding_network(recipe, own.weights)
    images = (
        RegionImages(table, split.train, finding_targets(manifest, split.train), settings, own.augment),
        RegionImages(table, split.validation, finding_targets(manifest, split.validation), settings, None),
    )

    def batches(phase: TransferPhase) -> EvenBatches:
        return _batches(["all"] * len(split.train), manifest, split.train, phase, recipe.seed)

    def task(phase: TransferPhase, steps: int) -> Task:
        return FindingTask(network, phase, steps, recipe.seed)

    return _run(network, own.phases, task, images, batches, recipe, folder)


def _findings_chart(
    recipe: CovidCxNetRecipe, manifest: Manifest, prepared: Prepared, state: Mapping[str, Tensor]
) -> tuple[FindingHead | None, Mapping[str, float]]:
    classifier, network = class_network(recipe), finding_network(recipe)
    classifier.load_state_dict(dict(state))
    network.load_state_dict(dict(prepared.findings or {}))
    split = prepared.splits[FINDING_SPLIT]
    learned, held = (
        RegionImages(prepared.table, ids, finding_targets(manifest, ids), prepared.settings, None)
        for ids in (split.train, split.validation)
    )
    if recipe.pretraining is None or recipe.pretraining.chart == "network":
        return None, chart_quality(network, held, recipe.compute.threads)
    head = fit_finding_head(classifier, network, learned, held, recipe.compute.threads)
    return head, head.agreement


def _run(
    network: Classifier,
    phases: Sequence[TransferPhase],
    task: Callable[[TransferPhase, int], Task],
    images: tuple[RegionImages, RegionImages],
    batches: Callable[[TransferPhase], EvenBatches],
    recipe: CovidCxNetRecipe,
    folder: Path,
) -> dict[str, Tensor]:
    """All phases, each from the best state of the one before."""
    state: dict[str, Tensor] = dict(network.state_dict())
    for number, phase in enumerate(phases, start=1):
        network.load_state_dict(state)
        if isinstance(network, CovidCxNet):
            network.freeze(phase.frozen)
        sampler = batches(phase)
        state = fit(
            task(phase, phase.epochs * len(sampler)),
            DataLoader(images[0], batch_sampler=sampler),
            DataLoader(images[1], batch_size=VALIDATION_BATCH),
            phase,
            recipe.compute,
            folder / f"phase{number}",
        )
    return state


def _batches(
    groups: Sequence[str], manifest: Manifest, image_ids: Sequence[str], phase: TransferPhase, seed: int
) -> EvenBatches:
    rows = manifest.table.loc[list(image_ids)]
    return EvenBatches(
        groups,
        rows["source"].tolist(),
        weights=phase.source_weights,
        batch=phase.batch,
        batches=phase.batches or -(-len(image_ids) // phase.batch),
        seed=seed,
        patients=patients_of(rows, phase),
    )


def _check(recipe: CovidCxNetRecipe, manifest: Manifest, learned: Sequence[str], shared: Shared | None) -> None:
    """Find now what would otherwise stop the training after the regions were cut."""
    for image_id in learned:
        if not manifest.image_file(image_id).is_file():
            raise ManifestError(f"The file that the manifest names for {image_id} is not there: correct it.")
    if shared is not None and not set(learned) <= set(shared.images):
        raise ValueError("the shared regions must be those of all images that are learned from")
    if shared is not None and shared.findings is not None:
        return
    weights = recipe.classifier.weights if recipe.pretraining is None else recipe.pretraining.weights
    if weights != "none":
        backbone(recipe.classifier.network, recipe, weights)


def _cutting(settings: Preprocessing) -> dict[str, object]:
    """What the stored regions depend on; enhancement comes later."""
    return {name: getattr(settings, name) for name in ("roi", "working_side", "margin", "dilation")}


def _as_cut(settings: Preprocessing) -> Preprocessing:
    return replace(settings, roi="mask") if settings.roi == "box" else settings


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
