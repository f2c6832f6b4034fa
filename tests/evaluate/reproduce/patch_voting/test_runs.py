import json
import shutil

import pytest

from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.evaluate.reproduce.patch_voting.recipe import load_variants
from cxrscreen.evaluate.reproduce.patch_voting.runs import PatchRuns
from cxrscreen.train.steps import GENERATION

from .conftest import RECIPES


def test_a_variant_changes_one_thing(variants):
    own = variants.own
    small = variants.votes("patch-112")
    # Seen at its own size, or at the next one that the networks take.
    assert (small.patch, small.classifier.side) == (112, 128)
    assert small.model_copy(update={"patch": own.patch, "classifier": own.classifier}) == own
    assert small.classifier.model_copy(update={"side": own.classifier.side}) == own.classifier
    assert variants.votes("patch-448").classifier.side == 448
    alone = variants.mask_alone
    assert (alone.approach, alone.shown, alone.classifier) == ("global", "mask", variants.baseline.classifier)
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


def test_threads_are_those_of_the_tables_and_the_digest_says_so(tmp_path):
    for file in RECIPES.glob("patch-voting*.yaml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = (RECIPES / "reproduce-patch-voting-short.yaml").read_text(encoding="utf-8")
    found = {}
    for threads in (1, 2):
        (tmp_path / "recipe.yaml").write_text(text.replace("threads: 1", f"threads: {threads}"), encoding="utf-8")
        found[threads] = load_variants(tmp_path / "recipe.yaml")
        assert found[threads].own.compute.threads == found[threads].baseline.compute.threads == threads
    assert found[1].digest != found[2].digest
    # That of the recipes with their own threads, so that naming these anew changes nothing.
    (tmp_path / "recipe.yaml").write_text(text.replace("threads: 1\n", ""), encoding="utf-8")
    assert load_variants(tmp_path / "recipe.yaml").digest == found[2].digest


def test_a_missing_training_is_a_sentence(variants, finished, tmp_path):
    with pytest.raises(CxrscreenError, match="no finished training: run without --table-only"):
        PatchRuns(tmp_path / "nothing", variants).votes("own")
    with pytest.raises(CxrscreenError, match="no finished votes/patch-56"):
        finished.votes("patch-56")


def test_trainings_of_an_earlier_generation_are_refused(variants, finished, tmp_path):
    shutil.copytree(finished.work, tmp_path / "earlier")
    about = json.loads((tmp_path / "earlier" / "about.json").read_text())
    for earlier in (about | {"generation": GENERATION - 1}, {k: v for k, v in about.items() if k != "generation"}):
        (tmp_path / "earlier" / "about.json").write_text(json.dumps(earlier))
        with pytest.raises(RecipeError, match="earlier version of the training"):
            PatchRuns(tmp_path / "earlier", variants).organs("own")


def test_trainings_of_another_recipe_are_refused(variants, finished):
    other = type(variants)(variants.settings, variants.own.model_copy(update={"seed": 1}), variants.baseline)
    with pytest.raises(RecipeError, match="trainings of another recipe"):
        PatchRuns(finished.work, other).organs("own")
