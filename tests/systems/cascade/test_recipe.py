import pytest
from pydantic import ValidationError

from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.train.recipe import load_recipe


@pytest.fixture
def tiny(tiny_recipe):
    return load_recipe(tiny_recipe, CascadeRecipe).model_dump(mode="json")


def test_the_network_is_the_papers_unless_the_recipe_says_otherwise(tiny):
    recipe = CascadeRecipe.model_validate(tiny)
    assert recipe.stage2.network == recipe.stage3.network == "densenet121"
    assert {phase.keep for phase in (*recipe.stage2.phases, *recipe.stage3.phases)} == {"best"}
    assert recipe.tutor.network == "efficientnet-lite0"
    assert CascadeRecipe.model_validate(recipe.model_dump()) == recipe


def test_the_small_recipe_has_the_small_network_and_no_tutor(tiny_recipe):
    recipe = load_recipe(tiny_recipe.with_name("cascade-lite.yaml"), CascadeRecipe)
    assert recipe.tutor is None
    assert recipe.stage2.network == recipe.stage3.network == "efficientnet-lite0"
    assert recipe.stage2.phases[-1].keep == "last"
    assert recipe.stage3.weights == "stage2"
    assert recipe.stage3.head is not None
    assert not recipe.stage3.phases


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stage2": {"network": "efficientnet-lite0"}}, "its network must be efficientnet-lite0 too"),
        ({"stage3": {"network": "efficientnet-lite0"}}, "its network must be densenet121 too"),
        ({"stage2": {"network": "resnet18"}}, "densenet121"),
        ({"stage3": {"phases": []}}, "nothing would be trained"),
        ({"stage3": {"phases": [], "weights": "none", "head": {}}}, "nothing would be trained"),
        ({"tutor": {"head": {}}}, "phases alone"),
        ({"tutor": {"augment": {"blank": 0.1}}}, "blank must be 0"),
    ],
)
def test_networks_that_do_not_fit_are_refused(tiny, changes, words):
    for name, change in changes.items():
        tiny[name] = {**tiny[name], **change} if isinstance(change, dict) else change
    with pytest.raises(ValidationError, match=words):
        CascadeRecipe.model_validate(tiny)


def test_stages_may_differ_where_neither_starts_from_the_other(tiny):
    tiny["stage3"] |= {"network": "efficientnet-lite0", "weights": "none"}
    assert CascadeRecipe.model_validate(tiny).stage3.network == "efficientnet-lite0"


def test_what_is_kept_of_the_tutor_is_no_choice(tiny):
    tiny["tutor"]["phases"][0]["keep"] = "last"
    with pytest.raises(ValidationError, match="no choice of the tutor"):
        CascadeRecipe.model_validate(tiny)
