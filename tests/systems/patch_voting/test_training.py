import numpy as np
import pandas as pd
import pytest

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.patch_voting.recipe import PatchHeadRecipe

from .conftest import short_networks


def test_the_bundle_says_what_it_is(tiny_bundle, phantom_data):
    card = tiny_bundle.card
    assert card.bundle_id == "patch_voting@0.0.1"
    decisions = {"patch-pneumonia", "patch-bacterial", "patch-tuberculosis", "patch-viral"}
    assert set(card.data.splits) == {"patch-organs", "patch-classes", *decisions}
    # The decisions are asked of the images of the vote, in the same parts.
    assert {card.data.splits[name] for name in decisions} == {card.data.splits["patch-classes"]}
    assert set(card.data.sources) == {"patch-classes", *decisions}
    assert "U-Net" in card.summary
    assert "EfficientNet-Lite0" in card.summary
    assert "not a medical device" in card.intended_use
    assert any("COVID-19" in text for text in card.not_for)
    assert sum(sum(labels.values()) for labels in card.data.images.values()) < len(phantom_data.table)
    assert open_bundle(tiny_bundle.folder).card == card


def test_a_bundle_that_the_recipe_has_made_is_not_made_again(trained_folder, tiny_recipe_file, phantom_data, tmp_path):
    from cxrscreen.systems.patch_voting.export import train_bundle

    tiny = trained_folder / "tiny"
    assert train_bundle(tiny_recipe_file, phantom_data, tmp_path / "work", tiny).card == open_bundle(tiny).card
    assert not (tmp_path / "work").exists()
    other = tmp_path / "other.yaml"
    other.write_text(tiny_recipe_file.read_text(encoding="utf-8").replace("seed: 0", "seed: 1"), encoding="utf-8")
    with pytest.raises(RecipeError, match="is not an empty folder"):
        train_bundle(other, phantom_data, tmp_path / "work", tiny)


def test_curves_of_training_and_validation_are_kept(trained_folder):
    curves = pd.read_csv(trained_folder / "work" / "classifier" / "phase1" / "metrics.csv")
    for column in ("train_accuracy", "train_f1", "accuracy", "validation_score"):
        assert curves[column].dropna().between(0, 1).all()
        assert len(curves[column].dropna()) == 2
    organs = pd.read_csv(trained_folder / "work" / "organs" / "phase1" / "metrics.csv")
    assert {"jaccard_right_lung", "jaccard_left_lung", "jaccard_heart"} <= set(organs.columns)


def test_the_stored_images_are_what_screening_sees(trained_folder, phantom_data, tiny_recipe):
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.patch_voting.preprocessing import patch_image
    from cxrscreen.systems.patch_voting.splits import splits_of

    arrays = np.load(trained_folder / "work" / "images" / "images.npy", mmap_mode="r")
    split = splits_of(tiny_recipe, phantom_data)["patch-classes"]
    image_ids = sorted([*split.train, *split.validation])
    assert len(arrays) == len(image_ids)
    pixels = read(phantom_data.image_file(image_ids[3])).pixels
    np.testing.assert_array_equal(arrays[3, 0], patch_image(pixels, tiny_recipe.preprocessing))
    assert set(np.unique(arrays[:, 1])) <= {0, 1}
    assert (arrays[:, 1].mean(axis=(1, 2)) >= 0.04).all()


def test_the_same_recipe_gives_the_same_networks_and_finished_steps_are_not_repeated(
    trained_folder, tiny_recipe, phantom_data, tmp_path, monkeypatch
):
    from cxrscreen.systems.patch_voting import training

    before = training.load_file(trained_folder / "work" / "classifier" / "final.safetensors")
    # Segmenting and classifying once more from the trained organ network.
    again = tmp_path / "work"
    (again / "organs").mkdir(parents=True)
    for name in ("final.safetensors", "final.safetensors.made-from"):
        (again / "organs" / name).write_bytes((trained_folder / "work" / "organs" / name).read_bytes())
    # Exporting the same organ network again would only take time.
    engine = load_engine(trained_folder / "work" / "images" / "engine" / "network.onnx")
    monkeypatch.setattr(training, "engine_of", lambda *_: engine)
    with short_networks():
        repeated = training.train_patch_voting(tiny_recipe, phantom_data, again)
        assert all(np.array_equal(value, repeated.classifier[name]) for name, value in before.items())

        def never(*_):
            raise AssertionError("a finished step was repeated")

        for step in ("_train_organs", "_preprocess_all", "_train_classifier"):
            monkeypatch.setattr(training, step, never)
        training.train_patch_voting(tiny_recipe, phantom_data, again)
        # A head fitted by itself takes the place of the old one, and nothing else moves.
        fitted = tiny_recipe.classifier.model_copy(update={"head": PatchHeadRecipe(patches=2)})
        headed = training.train_patch_voting(
            tiny_recipe.model_copy(update={"classifier": fitted}), phantom_data, again
        ).classifier
        assert {name for name, value in before.items() if not np.array_equal(value, headed[name])} == {
            "classifier.weight",
            "classifier.bias",
        }
        half = tiny_recipe.compute.model_copy(update={"precision": "bf16-mixed"})
        for change in ({"seed": 1}, {"compute": half}):
            with pytest.raises(RecipeError, match="of another recipe or of other data"):
                training.train_patch_voting(tiny_recipe.model_copy(update=change), phantom_data, again)


def test_what_would_fail_later_fails_at_once(tiny_recipe, phantom_data, tmp_path):
    from cxrscreen.systems.patch_voting.training import train_patch_voting

    table = phantom_data.table.drop(columns="group").reset_index(drop=True)
    without = check_manifest(table[table["label"] != "bacterial"], phantom_data.root)
    with pytest.raises(ManifestError, match="has no bacterial image"):
        train_patch_voting(tiny_recipe, without, tmp_path / "work")
    heartless = check_manifest(table.assign(heart_mask=""), phantom_data.root)
    with pytest.raises(ManifestError, match="heart mask"):
        train_patch_voting(tiny_recipe, heartless, tmp_path / "work")
    moved = check_manifest(table, phantom_data.root / "elsewhere")
    with pytest.raises(ManifestError, match="is not there"):
        train_patch_voting(tiny_recipe, moved, tmp_path / "work")
    classifier = tiny_recipe.classifier.model_copy(update={"weights": "nowhere.pth"})
    with pytest.raises(RecipeError, match="nowhere.pth"):
        train_patch_voting(tiny_recipe.model_copy(update={"classifier": classifier}), phantom_data, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_the_reference_mask_keeps_heart_and_lungs_apart(phantom_data):
    from cxrscreen.data.masks import read_lung_mask
    from cxrscreen.systems.patch_voting.training import organ_target

    image_id = str(phantom_data.table.index[0])
    stored = read_lung_mask(phantom_data.mask_file(image_id))
    target = organ_target(phantom_data, image_id)
    np.testing.assert_array_equal(target, stored)
    assert set(np.unique(target)) == {0, 1, 2, 3}
