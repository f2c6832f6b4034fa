from pathlib import Path

import numpy as np
import pytest

from cxrscreen.data.protocols import make_split
from cxrscreen.systems.comit_net.labels import STAGES
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe
from cxrscreen.systems.comit_net.splits import parts_of
from cxrscreen.train.recipe import load_recipe

pytestmark = pytest.mark.realdata
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", ["comit-net", "comit-net-paper"])
def test_all_tasks_find_something_to_learn_from(pack, name):
    recipe = load_recipe(RECIPES / f"{name}.yaml", ComitNetRecipe)
    parts = parts_of(recipe, pack)
    assert parts.masks == ("lungs", "disease")
    assert parts.decisions == tuple(STAGES)
    for part in (parts.train, parts.validation):
        assert part.lungs.sum() > 40
        assert part.region.sum() >= 2
        for column in (part.health, *part.diagnosis.T):
            assert min((column == 0).sum(), (column == 1).sum()) > 20
    children = pack.table.loc[list(parts.train.image_ids), "source"].to_numpy() == "kermany"
    assert parts.train.lungs[children].all()
    assert np.isnan(parts.train.health[children]).all()


def test_what_tests_has_taught_nothing(pack):
    recipe = load_recipe(RECIPES / "comit-net.yaml", ComitNetRecipe)
    parts = parts_of(recipe, pack)
    groups = set(pack.table.loc[[*parts.train.image_ids, *parts.validation.image_ids], "group"])
    for protocol in ("comit-covid19", "comit-unhealthy", "comit-other"):
        split = make_split(protocol, pack, recipe.splitting, recipe.data.learned)
        assert not {split.groups[i] for i in split.test} & groups
    lungs = make_split("lungs-any", pack, recipe.splitting)
    taught = {i for i, on in zip(parts.train.image_ids, parts.train.lungs, strict=True) if on}
    assert not {lungs.groups[i] for i in (*lungs.test, *lungs.validation)} & {pack.table.at[i, "group"] for i in taught}
