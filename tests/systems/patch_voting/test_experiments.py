import shutil
from dataclasses import replace

import numpy as np
import pytest

from cxrscreen.errors import RecipeError
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.bundle import write_card
from cxrscreen.systems.patch_voting.modes import modes_of
from cxrscreen.systems.patch_voting.pipeline import find_organs
from cxrscreen.systems.patch_voting.splits import splits_of
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
    from cxrscreen.systems.patch_voting import experiments, training

    shared, learned = trained_folder / "work", []

    def never(*_):
        raise AssertionError("a shared step was repeated")

    def written(recipe, manifest, trained, out):
        # Exporting again would only take time.
        learned.append(trained)
        card = tiny_bundle.card.model_copy(update={"recipe": recipe.model_dump(mode="json")})
        return write_card(shutil.copytree(tiny_bundle.folder, out), card)

    for step in ("_train_organs", "_preprocess_all"):
        monkeypatch.setattr(training, step, never)
    monkeypatch.setattr(experiments, "write_bundle", written)
    baseline = tiny_recipe.model_copy(update={"approach": "global"})
    where = (tmp_path / "votes", shared / "organs", shared / "images")
    with short_networks():
        made = experiments.voting_bundle(baseline, phantom_data, *where)
        organs = training.load_file(shared / "organs" / "final.safetensors")
        assert all(np.array_equal(values, learned[0].organs[name]) for name, values in organs.items())
        own = training.load_file(shared / "classifier" / "final.safetensors")
        assert not all(np.array_equal(values, learned[0].classifier[name]) for name, values in own.items())
        monkeypatch.setattr(training, "_train_classifier", never)
        assert experiments.voting_bundle(baseline, phantom_data, *where).card == made.card
        assert len(learned) == 1
        with pytest.raises(RecipeError, match="of another recipe or of other data"):
            experiments.voting_bundle(tiny_recipe, phantom_data, *where)


def test_a_network_that_is_not_parted_has_fewer_modes():
    assert modes_of(["classifier.onnx", "organs.onnx"]) == ("exact", "bf16")
    assert modes_of(["classifier.onnx", "classifier-shared.onnx", "classifier-early.onnx"]) == (
        "exact",
        "bf16",
        "shared",
    )


def test_other_classes_on_other_images_share_the_organs(
    trained_folder, tiny_recipe, phantom_data, tmp_path, monkeypatch
):
    from cxrscreen.systems.patch_voting import experiments, training

    split = splits_of(tiny_recipe, phantom_data)["patch-classes"]
    three = replace(split, truth={image_id: min(label, 2) for image_id, label in split.truth.items()})
    engine = load_engine(trained_folder / "work" / "images" / "engine" / "network.onnx")
    for module in (experiments, training):
        monkeypatch.setattr(module, "engine_of", lambda *_: engine)
    with short_networks():
        system = experiments.other_classes(
            tiny_recipe, phantom_data, three, tmp_path / "three", trained_folder / "work" / "organs"
        )
    vote = system.vote(read(phantom_data.image_file(split.test[0])))
    assert vote.counts.shape == (3,)
    assert vote.counts.sum() == tiny_recipe.patches
