from types import SimpleNamespace

import numpy as np
import pytest

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.evaluate.reproduce.comit_net import runs as runs_module
from cxrscreen.evaluate.reproduce.comit_net.recipe import Variants, load_variants
from cxrscreen.evaluate.reproduce.comit_net.run import seeds_of
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.comit_net.wording import not_in_recipe
from cxrscreen.systems.comit_net.answers import LEFT_OUT, load_answers
from cxrscreen.systems.comit_net.comparator_recipe import load_comparator

from .conftest import RECIPES, drawn, facts, written_recipe


def test_a_recipe_names_what_is_trained(variants):
    assert variants.of_kind("classifier") == ("densenet121",)
    assert variants.of_kind("masks") == ("unet",)
    assert variants.on_embedding == ("forest", "svm-rbf")
    assert variants.seeds() == (0, 1)
    assert variants.seeds(left_out=True) == (0,)


@pytest.mark.parametrize(
    "name", ["reproduce-comit-net.yaml", "reproduce-comit-net-short.yaml", "reproduce-comit-net-paper.yaml"]
)
def test_shipped_recipes_fit_together(name):
    found = load_variants(RECIPES / name)
    assert set(found.of_kind("classifier")) == {"densenet121", "mobilenetv2", "resnet18", "vgg19"}
    assert set(found.on_embedding) == {"forest", "svm-sigmoid", "svm-rbf"}
    assert {"unet", "segnet"} <= set(found.of_kind("masks"))
    assert {source for together in found.settings.left_out for source in together} <= set(found.own.data.sources)
    assert found.own.phases == (found.settings.phases or found.own.phases)
    # Every shipped comparator can be read, also those that no shipped recipe names.
    assert load_comparator(RECIPES / "reproduce-comit-net" / "mask-rcnn.yaml").name == "mask-rcnn"


def test_a_page_says_how_long_was_trained():
    lengths = {end: load_variants(RECIPES / f"reproduce-comit-net{end}.yaml").length for end in ("-short", "-paper")}
    assert "at most 3 epochs of 40 batches of 32, at 160 x 160 pixels" in lengths["-short"]
    assert "at most 30 epochs of all images in batches of 16, at 224 x 224 pixels" in lengths["-paper"]


def test_a_page_names_the_seeds_of_its_own_trainings():
    three = load_variants(RECIPES / "reproduce-comit-net-short-seeds.yaml")
    assert {name: seeds_of(name, three) for name in ("table4", "external", "figure8", "figure11", "figure12")} == {
        "table4": (0, 1, 2),
        "external": (0,),
        "figure8": (0, 1, 2),
        "figure11": (0,),
        "figure12": (0,),
    }
    assert three.seeds_never_trained_on() == ("Never trained on: seed 0 alone, of the seeds 0, 1, 2.",)
    assert load_variants(RECIPES / "reproduce-comit-net-short.yaml").seeds_never_trained_on() == ()


def test_a_method_that_was_not_measured_is_named():
    assert not_in_recipe({}) == ()
    assert not_in_recipe({"mask-rcnn": "0.85"}) == (
        "Not measured, since the recipe does not name it: Mask R-CNN (printed 0.85). Mask R-CNN needs torchvision.",
    )


def test_short_trainings_over_three_seeds_may_share_a_work_folder():
    short, seeds = (load_variants(RECIPES / f"reproduce-comit-net-short{end}.yaml") for end in ("", "-seeds"))
    assert short.digest == seeds.digest
    assert [seeds.comparators[name] for name in seeds.comparators] == [
        short.comparators[name] for name in seeds.comparators
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"combinations": ["1234", "14"]}, "1234 and 4 lack"),
        ({"combinations": ["1234", "4", "15"]}, "wrong at combinations"),
        ({"seeds": [1, 1]}, "wrong at seeds: name each once"),
        ({"left_out": [["cohen"], ["nih", "cohen"]]}, "wrong at left_out: name each once"),
        ({"comparators": ["unet.yaml", "unet.yaml"]}, "wrong at comparators: name each once"),
        ({"comparators": ["nowhere.yaml"]}, "No recipe at"),
        ({"own": "unet.yaml"}, "unet.yaml is wrong at"),
    ],
)
def test_recipes_that_do_not_fit_are_a_sentence(tmp_path, changes, sentence):
    with pytest.raises(RecipeError, match=sentence):
        load_variants(written_recipe(tmp_path, **changes))


def test_a_comparator_with_momentum_and_another_schedule_is_refused(tmp_path):
    file = written_recipe(tmp_path)
    text = (tmp_path / "unet.yaml").read_text(encoding="utf-8").replace("epochs: 1", "epochs: 1\n    schedule: plateau")
    text = text.replace("network: unet", "network: unet\n  momentum: 0.9")
    (tmp_path / "unet.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="leave schedule out"):
        load_variants(file)


def test_scores_are_of_one_part_with_its_truth(runs):
    scores = runs.scores("1234", 0, "test")
    table = facts().set_index("image_id")
    assert set(scores["image_id"]) == {i for i in table.index if int(i[-2:]) // 2 % 4 in {1, 3}}
    assert (scores["truth"] == (scores["label"] == "covid19")).all()
    assert runs.scores("1234", 0, LEFT_OUT, ("cohen",))["source"].unique().tolist() == ["cohen"]
    (never,) = runs.left_out("4")
    assert sorted(never["source"].unique()) == ["cohen", "hannover", "montgomery"]
    (some,) = runs.left_out("4", [("cohen",)])
    assert some["source"].unique().tolist() == ["cohen"]


def test_classifiers_on_the_embedding_learn_from_the_training_part(runs):
    found = runs.answers("svm-rbf", 0)
    base = runs.answers("1234", 0)
    assert found.parts == base.parts
    test = runs.scores("svm-rbf", 0, "test")
    # The first value of the embedding tells COVID-19 apart, the scores of the network do too.
    assert test.loc[test["truth"] == 1, "score"].mean() > test.loc[test["truth"] == 0, "score"].mean() + 0.2
    assert runs.answers("svm-rbf", 0) is found


def test_a_missing_training_is_a_sentence(variants, runs, tmp_path):
    with pytest.raises(CxrscreenError, match="no finished training: run without --table-only"):
        ComitRuns(tmp_path / "nothing", variants).answers("4", 0)
    with pytest.raises(CxrscreenError, match="no finished all-sources/tasks-4/seed-7"):
        runs.answers("4", 7)


def test_trainings_of_another_recipe_are_refused(variants, work):
    other = Variants(variants.settings, variants.own.model_copy(update={"seed": 5}), variants.comparators)
    with pytest.raises(RecipeError, match="trainings of another recipe"):
        ComitRuns(work, other).answers("4", 0)
    wider = {**variants.comparators, "unet": variants.comparators["unet"].model_copy(update={"width": 8})}
    with pytest.raises(RecipeError, match="holds unet of another recipe"):
        ComitRuns(work, Variants(variants.settings, variants.own, wider)).answers("unet", 0)


def test_a_digest_is_of_what_a_training_depends_on(variants):
    own = variants.own

    def digest(**changes):
        return Variants(variants.settings, own.model_copy(update=changes), variants.comparators).digest

    words = {"version": "9.9.9", "licence": "none", "data_limits": ("few",), "lungs": "elsewhere", "tasks": ("health",)}
    assert digest(**words, compute=own.compute.model_copy(update={"threads": 7})) == variants.digest
    assert digest(seed=5, split_seed=own.splitting) == variants.digest
    assert digest(seed=5) != variants.digest
    assert digest(low=own.low + 1) != variants.digest
    assert digest(loss=own.loss.model_copy(update={"lungs": 2.0})) != variants.digest


def test_what_is_missing_is_made_once(variants, tmp_path, monkeypatch):
    asked = []

    def combination(own, manifest, tasks, *, seed, left_out, folder, images_in, ask_learned):
        asked.append((tasks, seed, left_out, folder.relative_to(tmp_path).as_posix(), images_in.name, ask_learned))
        return drawn("4", seed, left_out)

    def comparator(own, manifest, settings, *, seed, left_out, folder, images_in):
        asked.append((settings.name, seed, left_out, folder.relative_to(tmp_path).as_posix(), images_in.name))
        return drawn(settings.name, seed, left_out)

    fake = SimpleNamespace(combination_answers=combination, comparator_answers=comparator)
    monkeypatch.setattr(runs_module, "_experiments", lambda: fake)
    table = facts().assign(path="x.png", patient_id=lambda rows: rows["group"])
    manifest = check_manifest(table.drop(columns="group"), tmp_path)
    made = ComitRuns(tmp_path / "work", variants, manifest)
    first = made.answers("14", 1, ("cohen",))
    made.answers("1234", 0)
    made.answers("densenet121", 0)
    again = ComitRuns(tmp_path / "work", variants, manifest)
    np.testing.assert_array_equal(again.answers("14", 1, ("cohen",)).covid19, first.covid19)
    assert asked == [
        (("lungs", "diagnosis"), 1, ("cohen",), "work/without-cohen/tasks-14/seed-1", "images", False),
        # Classifiers are fitted on what it says of the images that it learned from.
        (("lungs", "disease", "health", "diagnosis"), 0, (), "work/all-sources/tasks-1234/seed-0", "images", True),
        ("densenet121", 0, (), "work/all-sources/densenet121/seed-0", "images"),
    ]
    fewer = type(manifest)(manifest.table.iloc[:-1], manifest.root)
    with pytest.raises(RecipeError, match="other recipes or images"):
        ComitRuns(tmp_path / "work", variants, fewer).answers("4", 0)


def test_answers_are_kept_as_they_are(tmp_path):
    made = drawn("1234", 3, ())
    made.save(tmp_path / "answers")
    found = load_answers(tmp_path / "answers")
    assert (found.image_ids, found.parts) == (made.image_ids, made.parts)
    for name in ("covid19", "other", "pooled", "heat", "lungs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    assert found.regions.equals(made.regions)
