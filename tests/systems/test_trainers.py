from pathlib import Path

import pytest

from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.systems import trainers
from cxrscreen.systems.bundle import write_card
from cxrscreen.systems.trainers import trainer_for

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(("recipe", "system"), [("cascade-lite", "cascade"), ("patch-voting", "patch_voting")])
def test_a_recipe_names_its_system(recipe, system):
    trainer = trainer_for(RECIPES / f"{recipe}.yaml", system)
    assert trainer.__module__ == f"cxrscreen.systems.{system}.export"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("system: oracle", "'oracle', which this version cannot train: use one of cascade"),
        ("seed: 1", "is wrong at system: Field required"),
        ("- 1", "is not a mapping"),
        ("{", "is not valid YAML"),
    ],
)
def test_a_recipe_that_names_no_system_is_a_sentence(tmp_path, text, sentence):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=sentence):
        trainer_for(recipe)


def test_another_system_than_asked_for_is_refused():
    with pytest.raises(RecipeError, match="for the system cascade, not for patch_voting"):
        trainer_for(RECIPES / "cascade-lite.yaml", "patch_voting")


def test_a_missing_library_is_named(monkeypatch):
    def without_torch(system, part):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(trainers, "part_of", without_torch)
    with pytest.raises(CxrscreenError, match=r"Training needs torch, which is not installed: install cxrscreen\[train"):
        trainer_for(RECIPES / "cascade-lite.yaml")


def test_the_cascade_is_trained_once_by_a_recipe(tmp_path, monkeypatch):
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.systems.cascade import export
    from cxrscreen.systems.cascade.recipe import CascadeRecipe
    from cxrscreen.train.recipe import load_recipe

    steps = []
    monkeypatch.setattr(export, "train_cascade", lambda recipe, manifest, work: steps.append(("train", work)) or "nets")
    monkeypatch.setattr(export, "write_bundle", lambda recipe, manifest, trained, out: steps.append((trained, out)))
    recipe = RECIPES / "cascade-lite.yaml"
    trainer_for(recipe)(recipe, None, tmp_path / "work", tmp_path / "out")
    assert steps == [("train", tmp_path / "work"), ("nets", tmp_path / "out")]

    (tmp_path / "out").mkdir()
    card = open_bundle("cascade").card
    made = load_recipe(recipe, CascadeRecipe).model_dump(mode="json")
    write_card(tmp_path / "out", card.model_copy(update={"recipe": made, "files": {}}))
    monkeypatch.setattr("cxrscreen.systems.learned.images_digest", lambda _: card.data.images_sha256)
    assert trainer_for(recipe)(recipe, None, tmp_path / "work", tmp_path / "out").card.recipe == made
    assert len(steps) == 2
    monkeypatch.setattr("cxrscreen.systems.learned.images_digest", lambda _: "of other images")
    with pytest.raises(RecipeError, match="is not an empty folder"):
        trainer_for(recipe)(recipe, None, tmp_path / "work", tmp_path / "out")
    other = RECIPES / "cascade-paper.yaml"
    with pytest.raises(RecipeError, match="is not an empty folder"):
        trainer_for(other)(other, None, tmp_path / "work", tmp_path / "out")
