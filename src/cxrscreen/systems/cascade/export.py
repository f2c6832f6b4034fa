"""From trained networks to a bundle: exported graphs, splits and the card."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import yaml

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.nets.named import NetworkName, classifier_named
from cxrscreen.nets.unet import UNet
from cxrscreen.runtime.export import export_classifier, export_guided, export_segmenter
from cxrscreen.systems.bundle import (
    PROVISIONAL,
    Bundle,
    Card,
    begin_bundle,
    check_out,
    finish_bundle,
)
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.systems.cascade.training import Trained, splits_of, train_cascade
from cxrscreen.systems.learned import already_made, data_card, data_gaps
from cxrscreen.train.recipe import load_recipe

TITLES: Mapping[NetworkName, str] = {"densenet121": "DenseNet-121", "efficientnet-lite0": "EfficientNet-Lite0"}
WORDS = Path(__file__).with_name("card.yaml")
"""What every cascade's card says in words; the recipe adds its networks and what depends on the data."""


def train_bundle(recipe_file: Path, manifest: Manifest, work: Path, out: Path) -> Bundle:
    """Train by a recipe and write the bundle; a bundle that it has made of these images already is given as it is.

    Raises
    ------
    RecipeError, ManifestError
        As :func:`~cxrscreen.systems.cascade.training.train_cascade` and :func:`write_bundle` say, and if the recipe
        cannot be read.
    """
    recipe = load_recipe(recipe_file, CascadeRecipe)
    if (made := already_made(out, recipe, manifest)) is not None:
        return made
    check_out(out)
    return write_bundle(recipe, manifest, train_cascade(recipe, manifest, work), out)


def write_bundle(recipe: CascadeRecipe, manifest: Manifest, trained: Trained, out: Path) -> Bundle:
    """Export the networks and write the card, with provisional operating points at 0.5 and no results yet.

    Raises
    ------
    RecipeError
        If ``out`` is not a new or empty folder.
    """
    part = begin_bundle(out)
    segmenter = UNet(width=recipe.lungs.width)
    segmenter.load_state_dict(trained.lungs)
    export_segmenter(segmenter.eval(), recipe.lungs.side, part / "lungs.safetensors", part / "lungs.onnx")
    for name, stage, state in (
        ("pneumonia", recipe.stage2, trained.stage2),
        ("covid19", recipe.stage3, trained.stage3),
    ):
        network = classifier_named(stage.network, pooling=recipe.pooling)
        network.load_state_dict(state)
        export_classifier(network.eval(), recipe.side, part / f"{name}.safetensors", part / f"{name}.onnx")
        if name == "covid19":
            export_guided(network, recipe.side, part / f"{name}.safetensors", part / f"{name}-guided.onnx")
    splits = splits_of(recipe, manifest)
    if (manifest.table["source"] == "jsrt").any():
        splits["lungs-jsrt"] = make_split("lungs-jsrt", manifest, recipe.seed)
    for name, split in splits.items():
        split.save(part / f"split-{name}.json.gz")
    words = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    words["summary"] = words["summary"].format(
        stage2=TITLES[recipe.stage2.network], stage3=TITLES[recipe.stage3.network]
    )
    words["limits"] += [
        f"Every radiograph is reduced to {recipe.working_side} pixels on its longest side before the lungs are cut out "
        f"and brought to {recipe.side}; small lesions are lost.",
        *data_gaps(manifest, splits.values()),
        *recipe.data_limits,
    ]
    card = Card(
        name="cascade",
        version=recipe.version,
        system="cascade",
        created=datetime.now(UTC).date().isoformat(),
        **words,
        licence=recipe.licence,
        preprocessing=asdict(recipe.preprocessing),
        stages=dict.fromkeys(("pneumonia", "covid19"), PROVISIONAL),
        data=data_card(manifest, splits, recipe.seed),
        recipe=recipe.model_dump(mode="json"),
        files={},
    )
    return finish_bundle(part, card, out)
