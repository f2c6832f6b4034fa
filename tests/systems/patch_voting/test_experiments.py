import shutil

import numpy as np
import pytest

from cxrscreen.errors import RecipeError
from cxrscreen.imaging.read import read
from cxrscreen.systems.patch_voting.modes import modes_of
from cxrscreen.systems.patch_voting.pipeline import find_organs
from cxrscreen.systems.registry import load_system

from .conftest import short_networks


def test_an_organ_network_alone_is_the_bundles(trained_folder, tiny_bundle, tiny_recipe, phantom_data, tmp_path):
    from cxrscreen.systems.patch_voting.experiments import organ_engine

    shutil.copytree(trained_folder / "work" / "organs", tmp_path / "organs")
    engine = organ_engine(tiny_recipe, phantom_data, tmp_path / "organs")
    radiograph = read(phantom_data.image_file(phantom_data.table.index[0]))
    found = find_organs(engine, radiograph.pixels, tiny_recipe.preprocessing)
    np.testing.assert_array_equal(found.mask, load_system(tiny_bundle.folder, threads=1).segment(radiograph).mask)


def test_trainings_that_differ_in_the_classifier_share_organs_and_images(
    trained_folder, tiny_bundle, tiny_recipe, phantom_data, tmp_path, monkeypatch
):
    from cxrscreen.systems.patch_voting import training
    from cxrscreen.systems.patch_voting.experiments import voting_bundle

    shared = trained_folder / "work"

    def never(*_):
        raise AssertionError("a shared step was repeated")

    for step in ("_train_organs", "_preprocess_all"):
        monkeypatch.setattr(training, step, never)
    baseline = tiny_recipe.model_copy(update={"approach": "global"})
    where = (tmp_path / "votes", shared / "organs", shared / "images")
    with short_networks():
        made = voting_bundle(baseline, phantom_data, *where)
        assert made.card.preprocessing["approach"] == "global"
        # One view of an image shares nothing.
        assert modes_of(made.card.files) == ("exact", "bf16")
        assert made.card.files["organs.safetensors"] == tiny_bundle.card.files["organs.safetensors"]
        assert made.card.files["classifier.safetensors"] != tiny_bundle.card.files["classifier.safetensors"]
        monkeypatch.setattr(training, "_train_classifier", never)
        assert voting_bundle(baseline, phantom_data, *where).card == made.card
        with pytest.raises(RecipeError, match="of another recipe or of other data"):
            voting_bundle(tiny_recipe, phantom_data, *where)
