"""Trainings of combinations and comparators on phantoms, in the shortest form, and what they say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import RecipeError
from cxrscreen.nets.comit import DenseBranch
from cxrscreen.systems.comit_net import training
from cxrscreen.systems.comit_net.answers import DISEASE, LEFT_OUT, LUNG_BOXES, LUNGS, load_answers
from cxrscreen.systems.comit_net.comparator_recipe import ClassifierComparator, MaskComparator
from cxrscreen.systems.comit_net.comparators import initial_classifier, mask_input, mask_network
from cxrscreen.systems.comit_net.experiments import (
    Asked,
    Said,
    ask,
    asked_images,
    combination_answers,
    comparator_answers,
    covid19_heat,
    said_by_comit_net,
)
from cxrscreen.systems.comit_net.images import ImageTable
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe

SIDE = 32
SOUTH = tuple(f"phantom:{number:04d}" for number in (3, 9, 15, 18))
BOTH = ("phantom/0002-1", "phantom/0003-1")
STILL = {"rotation": 5, "flip": 0.5, "blur": 0.0, "noise": 0.01}
PHASE = {"epochs": 1, "batch": 6, "batches": 2, "learning_rate": 1e-3, "ema": 0}


@pytest.fixture(scope="module")
def manifest(phantom_data):
    """Phantoms of two hospitals; the patient of :data:`BOTH`, with COVID-19 in the one, was in the other too."""
    table = phantom_data.table.copy()
    table["source"] = np.where(table["patient_id"].isin(SOUTH), "south", "north")
    table.loc[BOTH[0], "group"] = table.at[BOTH[1], "group"]
    return Manifest(table, phantom_data.root)


@pytest.fixture(scope="module")
def recipe():
    return ComitNetRecipe.model_validate(
        {
            "system": "comit_net",
            "version": "0.0.1",
            "compute": {"precision": "32-true", "accelerator": "cpu", "threads": 1},
            "data": {"sources": ["north", "south"], "copies": False},
            "network": {"encoder": "vgg16", "width": 0.0625, "nodes": [8, 4], "side": SIDE},
            "phases": [PHASE],
            "augment": STILL,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of all trainings here: images are stored once."""
    return tmp_path_factory.mktemp("trainings")


def test_who_is_asked(manifest, recipe):
    asked = asked_images(recipe, manifest, ("south",))
    sources = manifest.table["source"]
    left = {i for i, part in asked.parts.items() if part == LEFT_OUT}
    assert left == {i for i in asked.parts if sources[i] == "south"}
    assert set(asked.parts.values()) == {"train", "validation", "test", LEFT_OUT}
    assert BOTH[0] not in asked.parts
    assert asked.lungs
    assert not {i for i in asked.lungs if asked.parts.get(i) == "train"}
    assert LEFT_OUT not in asked_images(recipe, manifest).parts.values()


def test_a_combination_is_trained_without_a_source_and_asked_about_it(manifest, recipe, folder, monkeypatch):
    given = {"left_out": ("south",), "images_in": folder / "images"}
    tasks = ("lungs", "health", "diagnosis")
    first = combination_answers(recipe, manifest, tasks, seed=3, folder=folder / "three", **given, ask_learned=False)
    # What was learned from is asked where classifiers are fitted on it alone, and with a reference for its lungs.
    assert set(first.parts) - {""} == {"validation", "test", LEFT_OUT}
    count = len(first.image_ids)
    assert np.isfinite(first.covid19).all()
    assert np.isfinite(first.unhealthy).all()
    assert ((first.covid19 >= 0) & (first.covid19 <= 1)).all()
    assert first.pooled.shape == (count, 32)
    assert first.heat.shape == first.lungs.shape == (count, 1, 1)
    assert set(first.regions["region"]) == {LUNGS, LUNG_BOXES}
    outlined = first.regions.loc[first.regions["region"] == LUNGS, "image_id"]
    assert set(outlined) == set(asked_images(recipe, manifest, ("south",)).lungs)
    # Finished, it is not trained again; another seed is another training on the same parts.
    with monkeypatch.context() as patch:
        patch.setattr(training, "_train", _never)
        again = combination_answers(recipe, manifest, tasks, seed=3, folder=folder / "three", **given, ask_learned=True)
    assert "train" in again.parts
    common = np.isin(again.image_ids, first.image_ids)
    np.testing.assert_allclose(again.covid19[common], first.covid19, atol=1e-5)
    given["ask_learned"] = False
    other = combination_answers(recipe, manifest, ("diagnosis",), seed=4, folder=folder / "alone", **given)
    assert other.parts == first.parts
    assert np.isnan(other.unhealthy).all()
    assert other.regions.empty
    assert other.lungs.shape == (count, 0, 0)
    assert not np.array_equal(other.covid19, first.covid19)


def _never(*_):
    raise AssertionError("a finished training was repeated")


def test_every_score_is_of_its_decision_and_the_surest_images_stay_apart():
    outputs = SimpleNamespace(
        # COVID-19 before other pneumonia (Eq. 6), healthy before unhealthy (Eq. 4).
        diagnosis=torch.tensor([[18.0, -1.0], [20.0, 2.0]]),
        health=torch.tensor([[0.0, 3.0], [1.0, -1.0]]),
        pooled=torch.zeros(2, 4),
        features=torch.zeros(2, 4, 1, 1),
        lungs=None,
        disease=None,
    )

    class Fixed:
        diagnosis = None

        def __call__(self, _):
            return outputs

    said = said_by_comit_net(Fixed())(torch.zeros(2, 1, 4, 4))
    np.testing.assert_allclose(said.covid19, 1 / (1 + np.exp([-18.0, -20.0])), rtol=1e-12)
    np.testing.assert_allclose(said.other, 1 / (1 + np.exp([1.0, -2.0])), rtol=1e-12)
    np.testing.assert_allclose(said.unhealthy, 1 / (1 + np.exp([-3.0, 2.0])), rtol=1e-12)
    # As float32 both would be 1.
    assert said.covid19[0] < said.covid19[1] < 1


def test_of_no_images_nothing_is_said(recipe, tmp_path):
    asked = Asked({}, (), ())
    found = ask(_never, nn.Identity(), recipe, asked, ImageTable(np.zeros((0, 3, 4, 4), np.uint8), {}))
    found.save(tmp_path)
    kept = load_answers(tmp_path)
    assert (kept.image_ids, kept.parts) == ((), ())
    assert len(kept.covid19) == len(kept.pooled) == len(kept.heat) == len(kept.regions) == 0


def test_a_source_that_nothing_learns_from_cannot_be_left_out(manifest, recipe, folder):
    given = {"seed": 0, "folder": folder / "none", "images_in": folder / "images", "ask_learned": False}
    with pytest.raises(RecipeError, match="source west is to be left out, but is none"):
        combination_answers(recipe, manifest, ("diagnosis",), left_out=("west",), **given)
    with pytest.raises(RecipeError, match="no source to learn from"):
        combination_answers(recipe, manifest, ("diagnosis",), left_out=("north", "south"), **given)


def test_a_classifier_is_trained_on_the_same_images(manifest, recipe, folder):
    comparator = ClassifierComparator.model_validate(
        {"kind": "classifier", "network": "vgg19", "width": 0.0625, "phases": [PHASE], "augment": STILL}
    )
    given = {"seed": 0, "left_out": (), "images_in": folder / "images"}
    found = comparator_answers(recipe, manifest, comparator, folder=folder / "vgg19", **given)
    assert set(found.parts) - {""} == {"validation", "test"}
    assert np.isfinite(found.covid19).all()
    assert found.pooled.shape[1] == 0
    assert np.isnan(found.other).all()
    assert found.regions.empty
    changed = comparator.model_copy(update={"dropout": 0.5})
    with pytest.raises(RecipeError, match="of another recipe or of other data"):
        comparator_answers(recipe, manifest, changed, folder=folder / "vgg19", **given)


@pytest.mark.parametrize("network", ["unet", "segnet"])
def test_a_mask_network_is_trained_for_both_regions(manifest, recipe, folder, network):
    comparator = MaskComparator.model_validate(
        {"kind": "masks", "network": network, "width": 2, "phases": [PHASE], "augment": STILL}
    )
    given = {"seed": 0, "left_out": (), "images_in": folder / "images"}
    found = comparator_answers(recipe, manifest, comparator, folder=folder / network, **given)
    assert np.isnan(found.covid19).all()
    asked = asked_images(recipe, manifest)
    assert set(found.image_ids) == {*asked.lungs, *asked.disease}
    assert set(found.regions["region"]) == {LUNGS, LUNG_BOXES, DISEASE}
    assert set(found.regions.loc[found.regions["region"] == DISEASE, "image_id"]) == set(asked.disease)


def test_the_names_of_recipes_are_networks():
    settings = {"kind": "classifier", "phases": [PHASE], "augment": {}}
    for name, parts in {"densenet121": "DenseNet121", "mobilenetv2": "MobileNetV2", "resnet18": "ResNet"}.items():
        network = initial_classifier(ClassifierComparator.model_validate({**settings, "network": name}))
        assert type(network).__name__ == parts
        assert network.classifier.out_features == 1
    masks = MaskComparator.model_validate({**settings, "kind": "masks", "network": "segnet", "width": 4})
    with torch.no_grad():
        assert mask_network(masks, SIDE)(torch.zeros(1, 1, SIDE, SIDE)).shape == (1, 1, SIDE, SIDE)
    assert mask_input(torch.tensor([-1.0, 1.0, 3.0])).tolist() == [-1, 0, 1]


def test_heat_is_grad_cam_by_autograd():
    torch.manual_seed(0)
    branch, features = DenseBranch(6, (8, 4)), torch.rand(3, 6, 2, 3)
    found = covid19_heat(branch, features)
    maps = features.clone().requires_grad_()
    logits = branch(maps.mean(dim=(2, 3)))[:, 0]
    (gradients,) = torch.autograd.grad(logits.sum(), maps)
    expected = torch.relu((gradients.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)).detach()
    for own, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(own, plain / plain.max().clamp(min=1e-12))


def test_regions_are_counted_against_what_is_stored(recipe):
    arrays = np.zeros((2, 3, 4, 4), np.uint8)
    arrays[0, 1, :2], arrays[0, 1, 3] = 1, 255
    arrays[1, 2, 0, 0] = 1
    table = ImageTable(arrays, {"a": 0, "b": 1})
    drawn = torch.zeros(2, 4, 4, dtype=torch.bool)
    drawn[:, 1:] = True

    def said(x):
        return Said(lungs=drawn[: len(x)], disease=~drawn[: len(x)])

    found = ask(said, nn.Identity(), recipe, Asked({"a": "test"}, ("a",), ("b",)), table)
    rows = {row.region: row for row in found.regions.itertuples()}
    assert (rows[LUNGS].true_positive, rows[LUNGS].false_positive, rows[LUNGS].false_negative) == (4, 4, 4)
    assert (rows[DISEASE].true_positive, rows[DISEASE].false_positive, rows[DISEASE].false_negative) == (1, 3, 0)
    assert found.parts == ("test", "")
