from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.errors import RecipeError
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.train.recipe import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("cascade-*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_recipes_are_valid(path):
    assert load_recipe(path, CascadeRecipe).system == "cascade"


def test_the_papers_recipe_has_the_papers_sizes():
    recipe = load_recipe(RECIPES / "cascade-paper.yaml", CascadeRecipe)
    assert (recipe.side, recipe.lungs.width, recipe.stage2.weights) == (512, 64, "imagenet")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("side",), 100, "wrong at side"),
        (("stage2", "phases", 0, "epochs"), 0, "wrong at stage2.phases.0.epochs"),
        (("stage2", "colour"), "blue", "wrong at stage2.colour"),
        (("system",), "oracle", "wrong at system"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, path, value, words):
    content = yaml.safe_load((RECIPES / "cascade-cpu.yaml").read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(file, CascadeRecipe)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_refused_in_one_sentence(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("recipe") / "r.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, CascadeRecipe)
    assert "\n" not in str(caught.value)


def changed(tmp_path, change):
    content = yaml.safe_load((RECIPES / "cascade-cpu.yaml").read_text())
    change(content)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content))
    return load_recipe(file, CascadeRecipe)


def test_the_batches_of_all_phases_are_checked_before_the_first_one_starts(tmp_path):
    def for_four(content, last):
        content["compute"]["devices"] = 4
        content["stage3"]["phases"] = [dict(content["stage2"]["phases"][-1], batch=batch) for batch in (8, last)]

    assert changed(tmp_path, lambda content: for_four(content, 12)).compute.devices == 4
    with pytest.raises(RecipeError, match="A batch of 10 images cannot be shared out evenly over 4 processes"):
        changed(tmp_path, lambda content: for_four(content, 10))


def test_what_a_recipe_says_of_itself_is_as_before_there_were_even_patients(tmp_path):
    def evenly(content):
        content["stage2"]["phases"][0]["even_patients"] = True

    told = changed(tmp_path, evenly).model_dump(mode="json")
    assert told["stage2"]["phases"][0].pop("even_patients") is True
    plain = changed(tmp_path, lambda content: None).model_dump(mode="json")
    assert told == plain
    assert "even_patients" not in str(plain)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match="No recipe at"):
        load_recipe(tmp_path / "none.yaml", CascadeRecipe)
