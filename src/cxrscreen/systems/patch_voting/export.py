"""From trained networks to a bundle: exported graphs, splits and the card."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.runtime.export import export_classifier
from cxrscreen.runtime.export_halves import export_halves
from cxrscreen.runtime.export_organs import export_organs
from cxrscreen.systems.bundle import (
    PROVISIONAL,
    Bundle,
    Card,
    begin_bundle,
    check_out,
    finish_bundle,
)
from cxrscreen.systems.learned import already_made, data_card, data_gaps
from cxrscreen.systems.patch_voting.decisions import DECISIONS
from cxrscreen.systems.patch_voting.modes import CLASSIFIER, HALVES, SHARED
from cxrscreen.systems.patch_voting.networks import organ_network, patch_classifier
from cxrscreen.systems.patch_voting.pipeline import TITLES
from cxrscreen.systems.patch_voting.recipe import OrganNetwork, PatchNetwork, PatchVotingRecipe
from cxrscreen.systems.patch_voting.shared import shared_side
from cxrscreen.systems.patch_voting.shared_head import WEIGHTS
from cxrscreen.systems.patch_voting.splits import CLASS_SPLIT, splits_of
from cxrscreen.systems.patch_voting.training import Trained, train_patch_voting
from cxrscreen.train.recipe import load_recipe

NETWORKS: Mapping[OrganNetwork | PatchNetwork, str] = {
    "fc-densenet103": "FC-DenseNet-103",
    "fc-densenet67": "FC-DenseNet-67",
    "unet": "U-Net",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "densenet121": "DenseNet-121",
    "efficientnet-lite0": "EfficientNet-Lite0",
}
WORDS = Path(__file__).with_name("card.yaml")
"""What every bundle's card says in words; the recipe adds its networks and what depends on the data."""


def train_bundle(recipe_file: Path, manifest: Manifest, work: Path, out: Path) -> Bundle:
    """Train by a recipe and write the bundle; a bundle that it has made of these images already is given as it is.

    Raises
    ------
    RecipeError, ManifestError
        As :func:`~cxrscreen.systems.patch_voting.training.train_patch_voting` and :func:`write_bundle` say, and if the
        recipe cannot be read.
    """
    recipe = load_recipe(recipe_file, PatchVotingRecipe)
    if (made := already_made(out, recipe, manifest)) is not None:
        return made
    check_out(out)
    return write_bundle(recipe, manifest, train_patch_voting(recipe, manifest, work), out)


def write_bundle(recipe: PatchVotingRecipe, manifest: Manifest, trained: Trained, out: Path) -> Bundle:
    """Export the networks and write the card, with provisional operating points at 0.5 and no results yet.

    Raises
    ------
    RecipeError
        If ``out`` is not a new or empty folder.
    """
    part = begin_bundle(out)
    organs = organ_network(recipe.organs)
    organs.load_state_dict(trained.organs)
    export_organs(organs, recipe.organs.side, part / "organs.safetensors", part / "organs.onnx")
    classifier = patch_classifier(recipe.classifier, recipe.pooling)
    classifier.load_state_dict(trained.classifier)
    export_classifier(classifier, recipe.classifier.side, part / WEIGHTS, part / CLASSIFIER)
    whole = shared_side(recipe.preprocessing, recipe.classifier.side)
    if whole is not None:
        export_classifier(classifier, whole, part / WEIGHTS, part / SHARED)
        for stride, (early, late) in HALVES.items():
            export_halves(classifier, whole, recipe.classifier.side, stride, part / WEIGHTS, part / early, part / late)
    splits = splits_of(recipe, manifest)
    for name, split in splits.items():
        split.save(part / f"split-{name}.json.gz")
    gaps = data_gaps(manifest, splits.values())
    # The decisions are asked of the same images in the same parts; only their truth is another.
    asked = [decision.protocols[0] for decision in DECISIONS]
    sources = recipe.classifier.sources
    splits |= {name: make_split(name, manifest, recipe.seed, sources) for name in asked}
    card = Card(
        name="patch_voting",
        version=recipe.version,
        system="patch_voting",
        created=datetime.now(UTC).date().isoformat(),
        **_words(recipe, gaps),
        licence=recipe.licence,
        preprocessing=asdict(recipe.preprocessing),
        stages=dict.fromkeys(TITLES, PROVISIONAL),
        data=data_card(manifest, splits, recipe.seed, dict.fromkeys((CLASS_SPLIT, *asked), sources)),
        recipe=recipe.model_dump(mode="json"),
        files={},
    )
    return finish_bundle(part, card, out)


def _words(recipe: PatchVotingRecipe, gaps: Sequence[str]) -> dict[str, Any]:
    words: dict[str, Any] = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    organs, classifier = NETWORKS[recipe.organs.network], NETWORKS[recipe.classifier.network]
    words["summary"] = words["summary"].format(organs=organs, classifier=classifier)
    looks = (
        f"{recipe.patches} patches of {recipe.patch} pixels are cut from an image of {recipe.image_side}, whatever its "
        "own size; small lesions between them are lost."
        if recipe.approach == "local"
        else f"The whole image is seen at {recipe.classifier.side} pixels; small lesions are lost."
    )
    words["limits"] = [*words["limits"], looks, *gaps, *recipe.data_limits]
    return words
