"""A finished step is not reused where anything that it depends on is another one; the steps themselves do nothing."""

import numpy as np
import pandas as pd
import pytest
import torch

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import RecipeError
from cxrscreen.systems.cascade import experiments, training
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.systems.cascade.training import splits_of, train_cascade
from cxrscreen.train.recipe import HeadRecipe, load_recipe

REFUSED = "of another recipe or of other data"
SOURCES = ("shenzhen", "montgomery", "cohen", "kermany")


@pytest.fixture(autouse=True)
def _steps(monkeypatch):
    def state(*_):
        return {"weight": torch.zeros(1)}

    for module in (training, experiments):
        monkeypatch.setattr(module, "train_stage", state)
        monkeypatch.setattr(module, "h2_maps", lambda *_: None)
    for name in ("_train_lungs", "train_tutor"):
        monkeypatch.setattr(training, name, state)
    monkeypatch.setattr(training, "_cut_all", lambda *given: given[-1].touch())
    monkeypatch.setattr(training.RoiTable, "load", lambda _: None)
    monkeypatch.setattr(training, "tutor_for", lambda *_: None)


@pytest.fixture
def recipe(tiny_recipe):
    return load_recipe(tiny_recipe, CascadeRecipe)


@pytest.fixture
def manifest(phantom_data):
    return phantom_data


def relabelled(manifest, recipe):
    """Manifests that differ in the label of an image that stages 2 and 3 learn from, and in no part of any split."""
    learned = set(splits_of(recipe, manifest)["stage3"].train)
    table = manifest.table.drop(columns="group").reset_index(drop=True)
    # A patient's first image decides where all of them go: the second may have another label.
    first, second = table.index[table["image_id"].isin(learned) & (table["label"] == "bacterial")][:2]
    table.loc[second, ["patient_id", "source"]] = table.loc[first, ["patient_id", "source"]].tolist()
    before, after = table.copy(), table.copy()
    after.loc[second, "label"] = "viral"
    made = check_manifest(before, manifest.root), check_manifest(after, manifest.root)
    ours, theirs = (splits_of(recipe, each) for each in made)
    assert {name: split.digest for name, split in ours.items()} == {name: s.digest for name, s in theirs.items()}
    return made


def with_stage3(recipe, **changes):
    return recipe.model_copy(update={"stage3": recipe.stage3.model_copy(update=changes)})


def with_compute(recipe, **changes):
    return recipe.model_copy(update={"compute": recipe.compute.model_copy(update=changes)})


def test_a_head_that_learned_from_mirror_images(recipe, manifest, tmp_path):
    headed = with_stage3(recipe, head=HeadRecipe())
    train_cascade(headed, manifest, tmp_path)
    train_cascade(headed, manifest, tmp_path)
    with pytest.raises(RecipeError, match=REFUSED):
        train_cascade(headed.model_copy(update={"mirrored": True}), manifest, tmp_path)


def test_screening_mirror_images_too_trains_nothing_else_without_a_head(recipe, manifest, tmp_path):
    train_cascade(recipe, manifest, tmp_path)
    train_cascade(recipe.model_copy(update={"mirrored": True}), manifest, tmp_path)


def test_other_arithmetic_but_not_more_devices(recipe, manifest, tmp_path):
    train_cascade(recipe, manifest, tmp_path)
    train_cascade(with_compute(recipe, devices=2), manifest, tmp_path)
    with pytest.raises(RecipeError, match=REFUSED):
        train_cascade(with_compute(recipe, precision="bf16-mixed"), manifest, tmp_path)


def test_a_corrected_label(recipe, manifest, tmp_path):
    before, after = relabelled(manifest, recipe)
    train_cascade(recipe, before, tmp_path)
    with pytest.raises(RecipeError, match=REFUSED):
        train_cascade(recipe, after, tmp_path)


def test_another_partially_labelled_image(recipe, manifest, tmp_path):
    lungs = recipe.lungs.model_copy(update={"protocol": "lungs", "partial": 4})
    recipe = recipe.model_copy(update={"lungs": lungs})
    table = manifest.table.drop(columns="group").reset_index(drop=True)
    table["source"] = [SOURCES[int(patient[-4:]) % 4] for patient in table["patient_id"]]
    table["lung_mask_origin"] = "human"
    before = check_manifest(table.copy(), manifest.root)
    chosen = training._partially_labelled(recipe, before)[0]
    table.loc[table["image_id"] == chosen, "lung_mask_origin"] = "automatic"
    after = check_manifest(table, manifest.root)
    lungs_of = [splits_of(recipe, each)["lungs"].digest for each in (before, after)]
    assert lungs_of[0] == lungs_of[1]
    train_cascade(recipe, before, tmp_path)
    with pytest.raises(RecipeError, match=r"lungs/final\.safetensors of another recipe"):
        train_cascade(recipe, after, tmp_path)


@pytest.fixture
def trained(monkeypatch, recipe, tmp_path):
    """Train for the tables, with lungs that are there already."""
    monkeypatch.setattr(experiments, "_exported", lambda *_: {})
    monkeypatch.setattr(experiments, "_write_bundle", lambda *_: None)
    monkeypatch.setattr(experiments, "_look", lambda *_: pd.DataFrame({"image_id": ["a"], "group": ["a"]}))

    def run(manifest, recipe=recipe):
        bench = experiments.Bench(None, recipe, manifest, (), tmp_path)
        bench.__dict__["lungs"] = (np.zeros(0), "made")
        splits = splits_of(recipe, manifest)
        return experiments.train_stages(bench, splits, splits, tmp_path / "run", seed=0)

    return run


def test_outputs_for_the_tables_of_one_view(trained, recipe, manifest):
    trained(manifest)
    trained(manifest)
    with pytest.raises(RecipeError, match=r"outputs\.csv of another recipe"):
        trained(manifest, recipe.model_copy(update={"mirrored": True}))


def test_a_head_for_the_tables_that_learned_from_mirror_images(trained, recipe, manifest):
    headed = with_stage3(recipe, head=HeadRecipe())
    trained(manifest, headed)
    with pytest.raises(RecipeError, match=r"stage3/final\.safetensors of another recipe"):
        trained(manifest, headed.model_copy(update={"mirrored": True}))


def test_a_corrected_label_for_the_tables(trained, recipe, manifest):
    before, after = relabelled(manifest, recipe)
    trained(before)
    with pytest.raises(RecipeError, match=REFUSED):
        trained(after)
