"""From a trained network to a bundle: exported graph, splits and the card."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Part, Split, make_split
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.runtime.export_comit import export_comit
from cxrscreen.systems.bundle import (
    PROVISIONAL,
    Bundle,
    Card,
    begin_bundle,
    check_out,
    finish_bundle,
    open_bundle,
)
from cxrscreen.systems.comit_net.decisions import DECISIONS, NETWORK
from cxrscreen.systems.comit_net.labels import STAGES
from cxrscreen.systems.comit_net.networks import comit_network
from cxrscreen.systems.comit_net.pipeline import LUNGS_FILE
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe, Encoder, Task
from cxrscreen.systems.comit_net.splits import LUNGS, Parts, parts_of
from cxrscreen.systems.comit_net.training import Trained, train_comit_net
from cxrscreen.systems.learned import already_made, data_card, data_gaps
from cxrscreen.train.recipe import load_recipe

ENCODERS: Mapping[Encoder, str] = {
    "vgg16": "VGG-16",
    "vgg19": "VGG-19",
    "efficientnet-lite0": "EfficientNet-Lite0",
}
TASK_WORDS: Mapping[Task, str] = {
    "lungs": "the lungs",
    "disease": "the diseased region",
    "health": "healthy or not",
    "diagnosis": "COVID-19 or other pneumonia",
}
HEALTHY_LUNGS_MARKED = (
    "No image without disease taught the region: it marks most of healthy lungs as well. It is shown only where a "
    "disease is called, and says little of where the disease is."
)
WORDS_FILE = Path(__file__).with_name("card.yaml")
"""What every bundle's card says in words; the recipe adds its network and what depends on the data."""


def train_bundle(recipe_file: Path, manifest: Manifest, work: Path, out: Path) -> Bundle:
    """Train by a recipe and write the bundle; a bundle that it has made of these images already is given as it is.

    Raises
    ------
    RecipeError, ManifestError, BundleError
        As :func:`~cxrscreen.systems.comit_net.training.train_comit_net` and :func:`write_bundle` say, and if the recipe
        cannot be read.
    """
    recipe = load_recipe(recipe_file, ComitNetRecipe)
    if (made := already_made(out, recipe, manifest)) is not None:
        return made
    check_out(out)
    parts = parts_of(recipe, manifest)
    if "lungs" not in parts.masks:
        _lung_files(recipe)
    return write_bundle(recipe, manifest, train_comit_net(recipe, manifest, work), out)


def write_bundle(recipe: ComitNetRecipe, manifest: Manifest, trained: Trained, out: Path) -> Bundle:
    """Export the network and write the card, with provisional operating points at 0.5 and no results yet.

    Raises
    ------
    RecipeError
        If ``out`` is not a new or empty folder, or the network has learned no lungs and ``lungs`` names no bundle that
        finds them.
    """
    part = begin_bundle(out)
    if "lungs" not in trained.settings.masks:
        for file in _lung_files(recipe):
            shutil.copyfile(file, part / file.name)
    network = comit_network(recipe)
    network.load_state_dict(trained.network)
    export_comit(network, recipe.network.side, part / f"{NETWORK}.safetensors", part / f"{NETWORK}.onnx")
    parts = parts_of(recipe, manifest)
    asked, unmeasured = _asked(recipe, manifest, trained)
    for name, split in ({"learned": parts.split} | asked).items():
        split.save(part / f"split-{name}.json.gz")
    card = Card(
        name="comit_net",
        version=recipe.version,
        system="comit_net",
        created=datetime.now(UTC).date().isoformat(),
        **_words(recipe, trained, parts, [*_unmeasured(unmeasured), *data_gaps(manifest, [parts.split])]),
        licence=recipe.licence,
        preprocessing=asdict(trained.settings),
        stages=dict.fromkeys(trained.decisions, PROVISIONAL),
        data=data_card(manifest, {"learned": parts.split}, recipe.splitting).model_copy(
            update={
                "splits": {name: split.digest for name, split in asked.items()},
                "sources": {name: list(recipe.data.learned) for name in asked},
            }
        ),
        recipe=recipe.model_dump(mode="json"),
        files={},
    )
    return finish_bundle(part, card, out)


def _asked(recipe: ComitNetRecipe, manifest: Manifest, trained: Trained) -> tuple[dict[str, Split], list[str]]:
    """Splits of the protocols on whose parts the bundle is measured, and titles of what no part can measure."""
    asked: dict[str, Split] = {}
    unmeasured = []
    for decision in DECISIONS:
        if decision.stage in trained.decisions:
            name = decision.protocols[0]
            split = _split(name, recipe, manifest)
            if split is not None and all(_answers(split, part) == {0, 1} for part in ("validation", "test")):
                asked[name] = split
            else:
                unmeasured.append(STAGES[decision.stage])
    if "lungs" in trained.settings.masks:
        split = _split(LUNGS, recipe, manifest)
        if split is not None and split.test:
            asked[LUNGS] = split
    return asked, unmeasured


def _split(name: str, recipe: ComitNetRecipe, manifest: Manifest) -> Split | None:
    try:
        return make_split(name, manifest, recipe.splitting, recipe.data.learned)
    except ManifestError:
        # The protocol has no image: those of adults where all are children, for instance.
        return None


def _answers(split: Split, part: Part) -> set[int]:
    return {split.truth[i] for i in split.part(part)}


def _lung_files(recipe: ComitNetRecipe) -> tuple[Path, Path]:
    bundle = open_bundle(recipe.lungs)
    graph = bundle.file(LUNGS_FILE)
    if not graph.is_file():
        raise RecipeError(
            f"No image teaches the lungs, and the bundle {bundle.folder.name} finds none: name one with {LUNGS_FILE} "
            "as lungs."
        )
    return graph, graph.with_suffix(".safetensors")


def _unmeasured(titles: Sequence[str]) -> list[str]:
    return [
        f"Not measured, and its operating point is not chosen: {title}. A part of the adults' images lacks one of the "
        "answers."
        for title in titles
    ]


def _words(recipe: ComitNetRecipe, trained: Trained, parts: Parts, of_the_data: Sequence[str]) -> dict[str, Any]:
    words: dict[str, Any] = yaml.safe_load(WORDS_FILE.read_text(encoding="utf-8"))
    tasks = [TASK_WORDS[name] for name in recipe.tasks]
    words["summary"] = words["summary"].format(encoder=ENCODERS[recipe.network.encoder], tasks=", ".join(tasks))
    limits = [f"The whole radiograph is seen at {recipe.network.side} pixels; small lesions are lost."]
    if "disease" in trained.settings.masks:
        count = int(parts.train.diseased.sum())
        limits.append(
            f"The diseased region was learned from {count} images with a mask or box; boxes hold healthy lung as well."
        )
        if not trained.settings.healthy_regions:
            limits.append(HEALTHY_LUNGS_MARKED)
    if trained.moved is not None:
        limits.append(trained.moved.words)
    if "lungs" not in trained.settings.masks:
        limits.append("The lungs are found by a network of another bundle.")
    if recipe.network.weights == "none":
        limits.append("Its encoder began from random weights.")
    words["limits"] = [*words["limits"], *limits, *of_the_data, *recipe.data_limits]
    return words
