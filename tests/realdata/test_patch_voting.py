from pathlib import Path

import numpy as np
import pytest

from cxrscreen.data.masks import HEART, target_at
from cxrscreen.evaluate.overlap import jaccard
from cxrscreen.systems.patch_voting.morphology import ORGANS, organ_mask, organ_mask_at_size
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.splits import splits_of
from cxrscreen.systems.patch_voting.training import organ_target
from cxrscreen.train.recipe import load_recipe

pytestmark = pytest.mark.realdata
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", ["patch-voting", "patch-voting-paper"])
def test_every_part_has_every_class_and_only_jsrt_has_hearts(pack, name):
    recipe = load_recipe(RECIPES / f"{name}.yaml", PatchVotingRecipe)
    splits = splits_of(recipe, pack)
    organs, classes = splits["patch-organs"], splits["patch-classes"]
    assert set(pack.table.loc[list(organs.truth), "source"]) == {"jsrt"}
    assert len(organs.train) > 120
    for part in ("train", "validation", "test"):
        assert {classes.truth[i] for i in classes.part(part)} == {0, 1, 2, 3}
    assert not set(organs.test) & set(classes.train)
    assert "true" not in set(pack.table.loc[list(classes.truth), "pediatric"])


def test_the_network_sees_the_reference_outlines_where_they_are(pack):
    # What a perfect answer at 256 pixels would score on masks of 224: nothing is lost on the way there and back.
    for image_id in [str(i) for i in pack.table.index[pack.table["heart_mask"] != ""]][:8]:
        target = organ_target(pack, image_id)
        small = target_at(target, 256)
        sure = np.stack([(small == organ).astype(np.float32) for organ in range(len(ORGANS))])
        found = organ_mask_at_size(organ_mask(sure), sure, target.shape)
        assert jaccard(np.isin(found, (1, 2)), np.isin(target, (1, 2))) > 0.995
        assert jaccard(found == HEART, target == HEART) > 0.995


def test_a_reference_mask_has_two_lungs_and_a_heart_between_them(pack):
    target = organ_target(pack, "jsrt/JPCLN002")
    columns = [np.argwhere(target == organ)[:, 1].mean() for organ in (1, 3, 2)]
    assert columns == sorted(columns)
    shares = [(target == organ).mean() for organ in (1, 2, 3)]
    assert all(0.03 < share < 0.30 for share in shares)
