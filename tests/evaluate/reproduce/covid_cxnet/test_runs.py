"""What each training begins from and which images it may use, with trainings that are only noted down."""

from types import SimpleNamespace

import pandas as pd
import pytest
from pydantic import ValidationError

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.evaluate.reproduce.covid_cxnet import runs as runs_module
from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import CxNetReproduceRecipe
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import EDITS, CxNetRuns
from cxrscreen.train.recipe import load_recipe

from .conftest import RECIPES, answers

LABELS = {
    "cohen": ("normal", "covid19"),
    "hannover": ("covid19",),
    "armiro": ("covid19",),
    "nih": ("normal",),
    "shenzhen": ("normal", "tuberculosis"),
    "montgomery": ("normal",),
    "kermany": ("normal", "bacterial"),
}


@pytest.fixture
def manifest(tmp_path):
    rows = [
        {
            "image_id": f"{source}-{label}-{n}",
            "path": "x",
            "source": source,
            "label": label,
            "patient_id": f"{label}{n}",
            "pediatric": "true" if source == "kermany" else "false",
        }
        for source, labels in LABELS.items()
        for label in labels
        for n in range(12)
    ]
    return check_manifest(pd.DataFrame(rows), tmp_path)


@pytest.fixture
def noted(recipe, manifest, tmp_path, monkeypatch):
    """Runs, and what was asked of the trainings: (what, recipe, folder, beginning)."""
    asked = []

    def pre_train(bench, recipe, folder):
        asked.append(("pre-train", recipe, folder, None))
        return folder / "final.safetensors"

    def train(bench, recipe, folder, findings):
        asked.append(("train", recipe, folder, findings))
        return answers("binary", 1)

    def train_edited(bench, recipe, folder, findings, name, edit):
        asked.append((name, recipe, folder, findings))
        assert EDITS[name] is edit
        return answers("binary", 1).assign(touched=True)

    def bench(manifest, images, work):
        return SimpleNamespace(manifest=manifest, images=images, work=work)

    fakes = SimpleNamespace(Bench=bench, pre_train=pre_train, train=train, train_edited=train_edited)
    monkeypatch.setattr(runs_module, "_experiments", lambda: fakes)
    return CxNetRuns(tmp_path / "work", recipe, manifest), asked


def test_all_rows_begin_from_one_pre_training_but_where_its_images_are_left_out(noted):
    runs, asked = noted
    for name in ("own", "whole", "three", "own-without-cohen", "own-without-nih", "three-without-nih", "seed-3"):
        runs.outputs(name)
    begun = {folder.name: findings.parent.name for what, _, folder, findings in asked if what == "train"}
    without = {"own-without-nih", "three-without-nih"}
    assert begun == {name: "without-nih" if name in without else "all" for name in begun}
    learned = [recipe for what, recipe, folder, _ in asked if what == "pre-train" and folder.name == "without-nih"]
    assert {recipe.data.left_out for recipe in learned} == {("nih",)}
    # The base that all share sees whole radiographs, whatever the row shows.
    assert {recipe.roi for what, recipe, *_ in asked if what == "pre-train"} == {"none"}
    assert {recipe.split_seed for what, recipe, *_ in asked} == {0}


def test_the_base_model_and_imagenet_begin_from_no_findings(noted):
    runs, asked = noted
    for name in ("base-v1", "base-v1-adults", "base-v2", "imagenet", "imagenet-frozen"):
        runs.outputs(name)
    assert [(what, findings) for what, _, _, findings in asked] == [("train", None)] * 5
    recipes = {folder.name: recipe for _, recipe, folder, _ in asked}
    assert recipes["base-v1"].data.paediatric == "normals"
    assert recipes["base-v1"].channels == "original"
    assert "kermany" in recipes["base-v1"].data.sources
    assert "kermany" not in recipes["base-v2"].data.sources
    # Whose normal images they are is all that parts them.
    children, adults = (recipes[name].model_dump() for name in ("base-v1", "base-v1-adults"))
    assert {key for key, value in children.items() if value != adults[key]} == {"data"}
    assert adults["data"] == recipes["base-v2"].model_dump()["data"]
    head, *_ = runs.recipe.own.classifier.phases
    assert head.frozen
    for phase in recipes["imagenet-frozen"].classifier.phases:
        assert phase.frozen
        assert phase.learning_rate == head.learning_rate
    # The start alone differs.
    assert recipes["imagenet"].classifier.phases == runs.recipe.own.classifier.phases


def test_with_a_published_checkpoint_nothing_is_pre_trained(manifest, tmp_path, noted, monkeypatch):
    _, asked = noted
    paper = load_recipe(RECIPES / "reproduce-covid-cxnet-paper.yaml", CxNetReproduceRecipe)
    monkeypatch.setattr(CxNetReproduceRecipe, "sources", ("cohen", "kermany", "nih", "shenzhen"))
    runs = CxNetRuns(tmp_path / "paper", paper, manifest)
    for name in ("own", "whole", "three", "own-without-cohen", "base-v1", "base-v2", "imagenet", "imagenet-frozen"):
        runs.outputs(name)
    assert [(what, findings) for what, _, _, findings in asked] == [("train", None)] * 8
    recipes = {folder.name: recipe.classifier for _, recipe, folder, _ in asked}
    starts = {name: (own.network, own.weights) for name, own in recipes.items()}
    checkpoint, imagenet, none = ("chexnet", "chexnet.pth.tar"), ("chexnet", "imagenet"), ("base", "none")
    assert starts == dict.fromkeys(("own", "whole", "three", "own-without-cohen"), checkpoint) | {
        "base-v1": none, "base-v2": none, "imagenet": imagenet, "imagenet-frozen": imagenet,
    }  # fmt: skip
    assert [recipes[name].phases[0].epochs for name in ("own", "three", "base-v2", "imagenet-frozen")] == [
        10,
        30,
        120,
        20,
    ]


def test_without_a_pre_training_own_needs_a_checkpoint(recipe):
    content = recipe.model_dump(mode="json")
    content["own"]["pretraining"] = None
    with pytest.raises(ValidationError, match="published checkpoint"):
        CxNetReproduceRecipe.model_validate(content)


def test_a_finished_run_is_read_and_an_edit_needs_its_training(noted):
    runs, asked = noted
    assert runs.edited("whole", "burned")["touched"].all()
    runs.outputs("whole")
    runs.edited("whole", "burned")
    assert [what for what, *_ in asked] == ["pre-train", "train", "pre-train", "burned"]
    again = CxNetRuns(runs.work, runs.recipe)
    pd.testing.assert_frame_equal(again.outputs("whole"), runs.outputs("whole"))


def test_only_normal_children_are_cut_out_of_their_source(noted):
    runs, _ = noted
    images = runs._bench.images
    assert any("kermany-normal" in image_id for image_id in images)
    assert not any("kermany-bacterial" in image_id for image_id in images)
    assert any("shenzhen-tuberculosis" in image_id for image_id in images)


def test_other_images_are_refused(noted, manifest):
    runs, _ = noted
    runs.outputs("own")
    fewer = type(manifest)(manifest.table.iloc[:-1], manifest.root)
    with pytest.raises(RecipeError, match="other recipes or images"):
        CxNetRuns(runs.work, runs.recipe, fewer).outputs("own")
    lacking = type(manifest)(manifest.table[manifest.table["source"] != "kermany"], manifest.root)
    with pytest.raises(ManifestError, match="no image of the source kermany"):
        CxNetRuns(runs.work / "other", runs.recipe, lacking).outputs("own")


def test_a_recipe_that_does_not_fit_is_refused(recipe):
    def changed(**update):
        return type(recipe).model_validate(recipe.model_dump() | update)

    with pytest.raises(ValueError, match="shares must fall"):
        changed(shares=(0.5, 1.0))
    with pytest.raises(ValueError, match="nowhere is not one of"):
        changed(within="nowhere")
    with pytest.raises(ValueError, match="different numbers"):
        changed(seeds=(1, 1))
    with pytest.raises(ValueError, match="own must be binary"):
        changed(own=recipe.own.model_dump() | {"roi": "box"})
    with pytest.raises(ValueError, match="base_model must have"):
        changed(base_model=recipe.base_model.model_dump() | {"side": 320})
