from pathlib import Path

import pytest

from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.systems import trainers
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
    def without_torch(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(trainers, "import_module", without_torch)
    with pytest.raises(CxrscreenError, match=r"Training needs torch, which is not installed: install cxrscreen\[train"):
        trainer_for(RECIPES / "cascade-lite.yaml")
