from pathlib import Path

import pytest
from pydantic import ValidationError

from cxrscreen.systems.covid_cxnet.recipe import ClassifierRecipe, CovidCxNetRecipe, DataRules
from cxrscreen.train.recipe import load_recipe

RECIPES = sorted((Path(__file__).parents[3] / "recipes").glob("covid-cxnet*.yaml"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_the_recipes_are_valid(file):
    recipe = load_recipe(file, CovidCxNetRecipe)
    assert recipe.preprocessing().classes == recipe.classes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": "original", "classifier": {"network": "chexnet"}}, "three channels"),
        ({"roi": "box", "pooling": "lungs"}, "roi mask"),
        ({"classifier": {"weights": "imagenet"}}, "must be none"),
        ({"classifier": {"network": "resnet50"}}, "pretraining is for"),
    ],
)
def test_settings_that_contradict_each_other(recipe, change, said):
    content = recipe.model_dump(mode="json")
    for key, value in change.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    with pytest.raises(ValidationError, match=said):
        CovidCxNetRecipe.model_validate(content)


def test_parts_that_do_not_fit(recipe):
    own = recipe.classifier.model_dump(mode="json")
    with pytest.raises(ValidationError, match="base model"):
        ClassifierRecipe.model_validate({**own, "network": "base"})
    with pytest.raises(ValidationError, match="of the cascade alone"):
        ClassifierRecipe.model_validate({**own, "augment": {"blank": 0.1}})
    with pytest.raises(ValidationError, match="views"):
        DataRules(sources=("a",), views=("L",))
