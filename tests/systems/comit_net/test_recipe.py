from pathlib import Path

import pytest
from pydantic import ValidationError

from cxrscreen.systems.comit_net.recipe import ComitNetRecipe
from cxrscreen.train.recipe import load_recipe

RECIPES = sorted((Path(__file__).parents[3] / "recipes").glob("comit-net*.yaml"))
OWN = [file for file in RECIPES if "comparator" not in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.stem)
def test_the_recipes_are_valid(file):
    assert load_recipe(file, ComitNetRecipe).tasks == ("lungs", "disease", "health", "diagnosis")


def test_the_papers_numbers():
    recipe = load_recipe(next(file for file in RECIPES if file.stem == "comit-net-paper"), ComitNetRecipe)
    (phase,) = recipe.phases
    assert (phase.learning_rate, phase.batch, phase.epochs, phase.schedule) == (5e-5, 16, 30, "plateau")
    assert phase.decay_after > phase.epochs
    assert set(recipe.loss.weights().values()) == {1.0}
    assert (recipe.network.encoder, recipe.network.width, recipe.network.side) == ("vgg16", 1.0, 224)
    assert recipe.network.joins == "positions"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tasks": ("lungs", "disease")}, "health or diagnosis among them"),
        ({"tasks": ("health", "health")}, "different ones"),
        ({"augment": {"blank": 0.1}}, "of the cascade alone"),
        ({"data": {"left_out": ("phantom",)}}, "no source to learn from"),
        ({"network": {"encoder": "efficientnet-lite0"}}, "joins must be maps"),
        ({"network": {"decoder": (4, 4, 4, 4, 4)}}, "leave decoder out"),
        ({"network": {"joins": "maps", "decoder": (4, 4)}}, "decoder needs 5 widths"),
    ],
)
def test_settings_that_contradict_each_other(recipe, change, said):
    content = recipe.model_dump(mode="json")
    for key, value in change.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    with pytest.raises(ValidationError, match=said):
        ComitNetRecipe.model_validate(content)
