from pathlib import Path

import pytest
import yaml

from cxrscreen.errors import RecipeError
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.train.recipe import load_recipe

RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.mark.parametrize("name", ["patch-voting", "patch-voting-paper", "patch-voting-phantoms", "patch-voting-global"])
def test_the_shipped_recipes_are_complete(name):
    approach = load_recipe(RECIPES / f"{name}.yaml", PatchVotingRecipe).approach
    assert approach == ("global" if name.endswith("global") else "local")


def test_the_papers_numbers():
    recipe = load_recipe(RECIPES / "patch-voting-paper.yaml", PatchVotingRecipe)
    assert (recipe.gamma, recipe.organs.side, recipe.image_side, recipe.patch, recipe.patches) == (
        0.5,
        256,
        1024,
        224,
        100,
    )
    assert (recipe.organs.network, recipe.classifier.network) == ("fc-densenet103", "resnet18")
    organs, patches = recipe.organs.phases[0], recipe.classifier.phases[0]
    assert (organs.schedule, organs.learning_rate, organs.batch) == ("plateau", 1e-4, 2)
    assert (patches.schedule, patches.learning_rate, patches.batch, patches.epochs) == ("plateau", 1e-5, 16, 100)
    assert patches.weight_decay > 0
    assert patches.l1 > 0
    assert recipe.working_side is None
    assert set(recipe.classifier.sources) == {"jsrt", "montgomery", "cohen"}


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("organs", {"augment": {"flip": 0.5}}, "flip must be 0"),
        ("organs", {"side": 100}, "organs.side"),
        ("classifier", {"augment": {"blank": 0.1}}, "of the cascade alone"),
        ("classifier", {"network": "vgg"}, "classifier.network"),
        ("", {"patch": 300}, "does not fit an image"),
        ("", {"pooling": "lungs", "shown": "whole"}, "needs an image that is masked"),
    ],
)
def test_settings_that_contradict_each_other_are_named(tmp_path, part, change, says):
    content = yaml.safe_load((RECIPES / "patch-voting-phantoms.yaml").read_text(encoding="utf-8"))
    (content[part] if part else content).update(change)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(RecipeError, match=says):
        load_recipe(file, PatchVotingRecipe)


def test_the_baseline_differs_in_the_approach_alone():
    local, whole = (
        load_recipe(RECIPES / f"{name}.yaml", PatchVotingRecipe) for name in ("patch-voting", "patch-voting-global")
    )
    same = whole.classifier.model_copy(update={"judged": local.classifier.judged})
    assert whole.model_copy(update={"approach": "local", "classifier": same}) == local
