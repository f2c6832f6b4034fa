"""What the COVID-CXNet paper's tables need: trainings that share regions and one pre-training, and their answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split
from cxrscreen.errors import RecipeError
from cxrscreen.systems.covid_cxnet.classes import CLASSES, STAGES
from cxrscreen.systems.covid_cxnet.images import GREY, Edit, RegionImages, RegionTable, store_regions
from cxrscreen.systems.covid_cxnet.networks import class_network
from cxrscreen.systems.covid_cxnet.pipeline import class_shares, decision_logit
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
from cxrscreen.systems.covid_cxnet.splits import CLASS_SPLIT, splits_of
from cxrscreen.systems.covid_cxnet.task import logits_and_lung_shares
from cxrscreen.systems.covid_cxnet.training import (
    VALIDATION_BATCH,
    Shared,
    Trained,
    cut_regions,
    lung_engine,
    prepare,
    train_covid_cxnet,
)
from cxrscreen.train.steps import once

TOUCHED = 12
"""Grey levels of 255 by which a pixel of a small region must differ for an edit to have touched the image."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What all trainings share.

    Parameters
    ----------
    manifest
        The images.
    images
        Ids of those from which any training learns or that any is asked about.
    work
        Folder for regions and trainings; a stopped run goes on there, a finished step is not repeated.
    """

    manifest: Manifest
    images: tuple[str, ...]
    work: Path

    def shared(self, recipe: CovidCxNetRecipe, findings: Path | None = None) -> Shared:
        """Regions of the recipe's kind, and the pre-training that it begins from."""
        return Shared(self.work / "regions" / _kind(recipe), self.images, findings)


def pre_train(bench: Bench, recipe: CovidCxNetRecipe, folder: Path) -> Path:
    """Pre-train on the findings alone, in ``folder`` unless it was, and give the file of the network's state.

    Raises
    ------
    RecipeError, ManifestError
        As :func:`~cxrscreen.systems.covid_cxnet.training.train_covid_cxnet` says; also for a recipe without
        pre-training.
    """
    if recipe.pretraining is None:
        raise RecipeError("The recipe has no pretraining, which all trainings of the tables begin from: add one.")
    prepare(recipe, bench.manifest, folder, bench.shared(recipe))
    return folder / "findings" / "final.safetensors"


def train(bench: Bench, recipe: CovidCxNetRecipe, folder: Path, findings: Path | None) -> pd.DataFrame:
    """Train in ``folder`` unless it was, and ask about all held-out images.

    Parameters
    ----------
    bench, recipe, folder
        Images, settings, and the folder of this training.
    findings
        From :func:`pre_train`; None: the recipe's own initial weights.

    Returns
    -------
    DataFrame
        See :func:`answers`, for the validation and the test part.
    """
    trained = train_covid_cxnet(recipe, bench.manifest, folder, bench.shared(recipe, findings))
    table, _ = cut_regions(
        recipe, bench.manifest, bench.images, bench.shared(recipe).regions, lung_engine(recipe.lungs)
    )
    split = splits_of(recipe, bench.manifest)[CLASS_SPLIT]
    return answers(recipe, trained, table, split, (*split.validation, *split.test), bench.manifest)


def train_edited(
    bench: Bench, recipe: CovidCxNetRecipe, folder: Path, findings: Path | None, name: str, edit: Edit
) -> pd.DataFrame:
    """Ask a training about its test images after an edit.

    Parameters
    ----------
    bench, recipe, folder, findings
        As for :func:`train`.
    name
        Of the edit; the edited regions are kept under it.
    edit
        From pixels and lungs to edited pixels; lungs are found anew in them.

    Returns
    -------
    DataFrame
        See :func:`answers`, with the column ``touched``: whether the edit shows in the whole image at the input's size.
    """
    trained = train_covid_cxnet(recipe, bench.manifest, folder, bench.shared(recipe, findings))
    split = splits_of(recipe, bench.manifest)[CLASS_SPLIT]
    edited = _edited(bench, recipe, name, edit, split.test)
    rows = answers(recipe, trained, edited, split, split.test, bench.manifest)
    whole = recipe.model_copy(update={"roi": "none"})
    before, _ = cut_regions(whole, bench.manifest, bench.images, bench.shared(whole).regions, lung_engine(recipe.lungs))
    after = edited if _kind(recipe) == "none" else _edited(bench, whole, name, edit, split.test)
    touched = [
        bool((np.abs(before.region(i)[GREY].astype(int) - after.region(i)[GREY].astype(int)) > TOUCHED).any())
        for i in rows["image_id"]
    ]
    return rows.assign(touched=touched)


def answers(
    recipe: CovidCxNetRecipe,
    trained: Trained,
    table: RegionTable,
    split: Split,
    image_ids: Sequence[str],
    manifest: Manifest,
) -> pd.DataFrame:
    """What a trained classifier says of stored regions.

    Returns
    -------
    DataFrame
        A row for each image: ``image_id``, ``source``, ``group``, ``label``, ``part``, ``truth`` (its class),
        ``p_NAME`` for each class, a logit for each decision by its name, ``lung_share`` (of the Grad-CAM of the true
        class, inside the lungs; NaN for an empty map) and ``lung_area`` (the lungs' share of the region, which a map
        that is the same everywhere has).
    """
    if recipe.compute.threads is not None:
        torch.set_num_threads(recipe.compute.threads)
    network = class_network(recipe)
    network.load_state_dict(dict(trained.classifier))
    network.eval()
    truth = np.array([split.truth[i] for i in image_ids], np.int64)
    images = RegionImages(table, image_ids, truth, trained.settings, None)
    logits, shares, areas = [], [], []
    for image, own, _, lungs in DataLoader(images, batch_size=VALIDATION_BATCH):
        said, inside = logits_and_lung_shares(network, image, own, lungs)
        logits.append(said.numpy())
        shares.append(inside.numpy())
        areas.append(lungs.float().mean(dim=(1, 2)).numpy())
    probabilities = class_shares(np.concatenate(logits))
    names = CLASSES[recipe.classes]
    about = manifest.table.loc[list(image_ids), ["source", "group", "label"]]
    parts = {i: part for part in ("validation", "test") for i in split.part(part)}
    rows = about.reset_index(names="image_id").assign(
        part=[parts[i] for i in image_ids], truth=[names[place] for place in truth]
    )
    for place, name in enumerate(names):
        rows[f"p_{name}"] = probabilities[:, place]
    for stage in STAGES[recipe.classes]:
        rows[stage] = [decision_logit(stage, each) for each in probabilities]
    return rows.assign(lung_share=np.concatenate(shares), lung_area=np.concatenate(areas))


def _edited(bench: Bench, recipe: CovidCxNetRecipe, name: str, edit: Edit, image_ids: Sequence[str]) -> RegionTable:
    kind = _kind(recipe)
    settings = replace(recipe.preprocessing(), roi=kind)
    side, file = recipe.classifier.side, bench.work / "regions" / f"{kind}-{name}" / "regions.npy"
    once(
        file,
        {"images": list(image_ids), "edit": name, "kind": kind, "side": side, "lungs": recipe.lungs},
        lambda part: store_regions(bench.manifest, image_ids, lung_engine(recipe.lungs), settings, side, part, edit),
    )
    return RegionTable(np.load(file, mmap_mode="r"), {image_id: row for row, image_id in enumerate(image_ids)})


def _kind(recipe: CovidCxNetRecipe) -> Literal["none", "mask"]:
    return "none" if recipe.roi == "none" else "mask"
