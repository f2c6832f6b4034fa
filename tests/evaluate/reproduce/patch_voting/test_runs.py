import pytest

from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.evaluate.reproduce.patch_voting.recipe import load_variants
from cxrscreen.evaluate.reproduce.patch_voting.runs import PatchRuns

from .conftest import RECIPES


def test_a_variant_changes_one_thing(variants):
    own = variants.own
    assert variants.votes("patch-112") == own.model_copy(update={"patch": 112})
    assert variants.votes("mask").shown == "mask"
    assert variants.votes("global") == variants.baseline
    assert variants.votes("global-share-0.5").approach == "global"
    assert variants.votes("global-share-0.5").classifier.share == 0.5
    assert variants.votes("share-0.5").organs.share == 1
    assert variants.organs("share-0.5").organs.share == 0.5
    assert variants.votes("fc-densenet67").organs.network == "fc-densenet67"
    assert variants.same("unet") == variants.same("patch-224") == variants.same("share-1") == "own"
    assert variants.same("patch-448") == "patch-448"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("shares: [1.0, 0.5, 0.3, 0.1]", "shares: [0.5, 0.3]", "wrong at shares: they must fall from 1.0"),
        ("shares: [1.0, 0.5, 0.3, 0.1]", "shares: [1.0, -0.3]", "wrong at shares: they must be above 0"),
        ("baseline: patch-voting-global.yaml", "baseline: patch-voting.yaml", "must have the approach local"),
        ("baseline: patch-voting-global.yaml", "baseline: patch-voting-paper.yaml", "differ in organs, working_side"),
        ("own: patch-voting.yaml", "own: nowhere.yaml", "No recipe at"),
    ],
)
def test_recipes_that_do_not_fit_are_a_sentence(tmp_path, old, new, sentence):
    for file in RECIPES.glob("patch-voting*.yaml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = (RECIPES / "reproduce-patch-voting.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(RecipeError, match=sentence):
        load_variants(tmp_path / "recipe.yaml")


def test_a_missing_training_is_a_sentence(variants, finished, tmp_path):
    with pytest.raises(CxrscreenError, match="no finished training: run without --table-only"):
        PatchRuns(tmp_path / "nothing", variants).votes("own")
    with pytest.raises(CxrscreenError, match="no finished votes/patch-56"):
        finished.votes("patch-56")


def test_trainings_of_another_recipe_are_refused(variants, finished):
    other = type(variants)(variants.settings, variants.own.model_copy(update={"seed": 1}), variants.baseline)
    with pytest.raises(RecipeError, match="trainings of another recipe"):
        PatchRuns(finished.work, other).organs("own")
