"""From trained networks to a bundle: exported graphs, splits and the card."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from cxrscreen.data.findings import finding_targets, learned_apart
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split
from cxrscreen.runtime.export import export_classifier
from cxrscreen.runtime.weights import write_weights
from cxrscreen.systems.bundle import (
    PROVISIONAL,
    Bundle,
    Card,
    DataCard,
    begin_bundle,
    check_out,
    finish_bundle,
    open_bundle,
)
from cxrscreen.systems.covid_cxnet.classes import CLASSES, STAGES, WORDS
from cxrscreen.systems.covid_cxnet.networks import class_network, finding_network
from cxrscreen.systems.covid_cxnet.pipeline import APART, FINDINGS_FILE, HEAD_FILE, NOT_APART, PUBLISHED
from cxrscreen.systems.covid_cxnet.preprocessing import RoiKind
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe, Network
from cxrscreen.systems.covid_cxnet.splits import FINDING_SPLIT, asked_splits, splits_of
from cxrscreen.systems.covid_cxnet.training import LUNGS, Trained, train_covid_cxnet
from cxrscreen.systems.learned import already_made, data_card, data_gaps
from cxrscreen.train.recipe import load_recipe

NETWORKS: Mapping[Network, str] = {
    "chexnet": "DenseNet-121, the network of CheXNet",
    "resnet50": "ResNet-50",
    "efficientnet-lite0": "EfficientNet-Lite0",
    "base": "the paper's base model of five convolutions",
}
REGIONS: Mapping[RoiKind, str] = {
    "none": "the whole radiograph",
    "box": "the box around the lungs (marks and shoulders inside it stay)",
    "mask": "the lungs alone",
}
WORDS_FILE = Path(__file__).with_name("card.yaml")
"""What every bundle's card says in words; the recipe adds its networks and what depends on the data."""


def train_bundle(recipe_file: Path, manifest: Manifest, work: Path, out: Path) -> Bundle:
    """Train by a recipe and write the bundle; a bundle that it has made of these images already is given as it is.

    Raises
    ------
    RecipeError, ManifestError, BundleError
        As :func:`~cxrscreen.systems.covid_cxnet.training.train_covid_cxnet` and :func:`write_bundle` say, and if the
        recipe cannot be read.
    """
    recipe = load_recipe(recipe_file, CovidCxNetRecipe)
    if (made := already_made(out, recipe, manifest)) is not None:
        return made
    check_out(out)
    return write_bundle(recipe, manifest, train_covid_cxnet(recipe, manifest, work), out)


def write_bundle(recipe: CovidCxNetRecipe, manifest: Manifest, trained: Trained, out: Path) -> Bundle:
    """Export the networks and write the card, with provisional operating points at 0.5 and no results yet.

    Raises
    ------
    RecipeError
        If ``out`` is not a new or empty folder.
    """
    part = begin_bundle(out)
    for name in LUNGS:
        shutil.copyfile(open_bundle(recipe.lungs).file(name), part / name)
    network, side = class_network(recipe), recipe.classifier.side
    network.load_state_dict(trained.classifier)
    export_classifier(network, side, part / "classifier.safetensors", part / "classifier.onnx")
    if trained.head is not None:
        write_weights({"weight": trained.head.weight, "bias": trained.head.bias}, part / HEAD_FILE)
    elif trained.findings is not None and _told(recipe):
        findings = finding_network(recipe)
        findings.load_state_dict(trained.findings)
        export_classifier(findings, side, part / "findings.safetensors", part / FINDINGS_FILE)
    learned = splits_of(recipe, manifest)
    asked = asked_splits(recipe, manifest)
    for name, split in ({f"learned-{name}": split for name, split in learned.items()} | asked).items():
        split.save(part / f"split-{name}.json.gz")
    card = Card(
        name="covid_cxnet",
        version=recipe.version,
        system="covid_cxnet",
        created=datetime.now(UTC).date().isoformat(),
        **_words(
            recipe,
            [
                *([PUBLISHED] if recipe.classifier.chart else _chart_limits(manifest, learned, trained)),
                *data_gaps(manifest, learned.values()),
            ],
        ),
        licence=recipe.licence,
        preprocessing=asdict(trained.settings),
        stages=dict.fromkeys(STAGES[recipe.classes], PROVISIONAL),
        data=_data_card(recipe, manifest, learned, asked),
        recipe=recipe.model_dump(mode="json"),
        files={},
    )
    return finish_bundle(part, card, out)


def _told(recipe: CovidCxNetRecipe) -> bool:
    return recipe.classifier.chart or (recipe.pretraining is not None and recipe.pretraining.exported)


def _data_card(
    recipe: CovidCxNetRecipe, manifest: Manifest, learned: Mapping[str, Split], asked: Mapping[str, Split]
) -> DataCard:
    """Digests of what it is measured on, and counts of what it learned from, which is less where the rules say so."""
    used = data_card(manifest, learned, recipe.splitting)
    named = data_card(manifest, asked, recipe.splitting, dict.fromkeys(asked, recipe.data.learned))
    return named.model_copy(update={"images": used.images, "licences": used.licences})


def _chart_limits(manifest: Manifest, learned: Mapping[str, Split], trained: Trained) -> list[str]:
    """How good the chart of findings is, and whether any of them was learned apart from pneumonia."""
    if trained.chart is None:
        return []
    said = trained.chart
    of = f"{said['images']:.0f} validation images, {said['findings']:.0f} findings that are told apart there"
    if trained.head is None:
        quality = (
            "The chart of 14 findings is of the network that was pre-trained on them: mean AUC "
            f"{said['auc_network']:.2f} ({of}, by which its epoch was chosen)."
        )
    else:
        quality = (
            "The chart of 14 findings is of a linear layer on the classifier's features, not of the network that was "
            f"pre-trained on them: mean AUC {said['auc_head']:.2f} where that network has {said['auc_network']:.2f}, "
            f"rank correlation {said['rank_correlation']:.2f} ({of}, by which its penalty was chosen)."
        )
    apart = learned_apart(finding_targets(manifest, learned[FINDING_SPLIT].train))
    return [quality, f"{APART}{', '.join(apart)}." if apart else NOT_APART]


def _words(recipe: CovidCxNetRecipe, of_the_data: list[str]) -> dict[str, Any]:
    words: dict[str, Any] = yaml.safe_load(WORDS_FILE.read_text(encoding="utf-8"))
    own = recipe.classifier
    words["summary"] = words["summary"].format(
        region=REGIONS[recipe.roi],
        channels="as it is, as CLAHE and as BEASF" if recipe.channels == "stack" else "without enhancement",
        network=NETWORKS[own.network],
        classes=" or ".join(WORDS[name] for name in CLASSES[recipe.classes]),
    )
    limits = [f"The region is seen at {own.side} pixels; small lesions are lost."]
    if recipe.classes == "binary":
        limits.append("It never saw another pneumonia than COVID-19, and will call some of them COVID-19.")
    if recipe.pretraining is None and own.weights == "none" and own.network != "base":
        limits.append("Its network began from random weights, not from those of CheXNet.")
    if recipe.pretraining is None and own.weights == "imagenet":
        limits.append("Its network began from the weights of ImageNet, not from those of CheXNet.")
    words["limits"] = [*words["limits"], *limits, *of_the_data, *recipe.data_limits]
    return words
