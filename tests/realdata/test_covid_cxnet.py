from pathlib import Path

import numpy as np
import pytest

from cxrscreen.data.findings import FINDINGS, finding_targets
from cxrscreen.data.protocols import make_split
from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import CxNetReproduceRecipe
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
from cxrscreen.systems.covid_cxnet.splits import CLASS_SPLIT, FINDING_SPLIT, splits_of
from cxrscreen.train.recipe import load_recipe

pytestmark = pytest.mark.realdata
RECIPES = Path(__file__).parents[2] / "recipes"
PROTOCOLS = {"binary": "cxnet-binary", "three": "cxnet-classes"}


@pytest.mark.parametrize("name", ["covid-cxnet", "covid-cxnet-three", "covid-cxnet-base-v1", "covid-cxnet-base-v2"])
def test_what_is_measured_has_taught_nothing(pack, name):
    recipe = load_recipe(RECIPES / f"{name}.yaml", CovidCxNetRecipe)
    splits = splits_of(recipe, pack)
    classes = splits[CLASS_SPLIT]
    asked = make_split(PROTOCOLS[recipe.classes], pack, recipe.seed, recipe.data.sources)
    assert classes.test == asked.test
    learned = {split.groups[i] for split in splits.values() for i in (*split.train, *split.validation)}
    assert not learned & {asked.groups[i] for i in asked.test}
    for part in ("train", "validation", "test"):
        assert len({classes.truth[i] for i in classes.part(part)}) == (2 if recipe.classes == "binary" else 3)
    assert recipe.match is None or recipe.match in classes.train


def test_the_bias_experiment_learns_normals_from_children_and_is_tested_on_adults(pack):
    splits = [
        splits_of(load_recipe(RECIPES / f"covid-cxnet-base-{version}.yaml", CovidCxNetRecipe), pack)[CLASS_SPLIT]
        for version in ("v1", "v2")
    ]
    children = [
        {pack.table.at[i, "pediatric"] for i in split.train if split.truth[i] == 0} == {"true"} for split in splits
    ]
    assert children == [True, False]
    # Kermany has no adults, so that both are tested on the same images.
    assert splits[0].test == splits[1].test


def test_most_findings_can_be_learned(pack):
    recipe = load_recipe(RECIPES / "covid-cxnet.yaml", CovidCxNetRecipe)
    targets = finding_targets(pack, splits_of(recipe, pack)[FINDING_SPLIT].train)
    present = {name: int(np.nansum(column)) for name, column in zip(FINDINGS, targets.T, strict=True)}
    assert present["Pneumonia"] > 1000
    assert sum(count >= 10 for count in present.values()) >= 10
    assert (targets == 0).any(axis=0).all()


@pytest.mark.parametrize("name", ["base-v1-without-cohen", "three-without-nih", "own-without-shenzhen+montgomery"])
def test_the_trainings_of_the_tables_can_be_made_without_a_source(pack, name):
    reproduced = load_recipe(RECIPES / "reproduce-covid-cxnet.yaml", CxNetReproduceRecipe)
    recipe = reproduced.variant(name)
    splits = splits_of(recipe, pack)
    classes = splits[CLASS_SPLIT]
    unseen = set(pack.table.loc[pack.table["source"].isin(recipe.data.left_out), "group"])
    learned = {split.groups[i] for split in splits.values() for i in (*split.train, *split.validation)}
    assert not learned & unseen
    # The rest of the test part is that of the training that knows the source.
    known = splits_of(reproduced.variant(name.partition("-without-")[0]), pack)[CLASS_SPLIT]
    assert {i for i in classes.test if classes.groups[i] not in unseen} <= set(known.test)
    assert {
        i for i in known.test if known.groups[i] in unseen and pack.table.at[i, "source"] in recipe.data.left_out
    } <= (set(classes.test))
    begun = reproduced.seen_in_pretraining(recipe.data.left_out, pack)
    assert begun == (() if "cohen" in recipe.data.left_out else tuple(sorted(recipe.data.left_out)))
    assert splits_of(reproduced.pretrained(begun), pack)[FINDING_SPLIT].train
