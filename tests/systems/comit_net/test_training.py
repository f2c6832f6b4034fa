import json

import numpy as np
import pandas as pd
import pytest
import yaml

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.masks import IGNORE
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.imaging.read import read
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.registry import load_system


def test_the_bundle_says_what_it_is(bundle):
    card = bundle.card
    assert card.bundle_id == "comit_net@0.0.1"
    assert "VGG-16" in card.summary
    assert "the diseased region" in card.summary
    assert "not a medical device" in card.intended_use
    assert {"comit.onnx", "comit.safetensors", "split-learned.json.gz"} <= set(card.files)
    assert card.preprocessing["masks"] == ["lungs", "disease"]
    assert set(card.data.splits) == {"comit-unhealthy", "comit-covid19", "comit-other", "lungs-any"}
    assert any("was learned from" in text for text in card.limits)
    assert any("random weights" in text for text in card.limits)
    assert set(card.data.images["phantom"]) >= {"normal", "covid19"}
    assert open_bundle(bundle.folder).card == card


def test_learning_curves_are_kept(trained_folder):
    curves = pd.read_csv(trained_folder / "work" / "network" / "phase2" / "metrics.csv")
    for column in ("loss_lungs", "loss_health", "loss_diagnosis", "epoch_loss"):
        assert (curves[column].dropna() > 0).all(), column
    assert len(curves["validation_score"].dropna()) == 2
    assert curves["lung_iou"].dropna().between(0, 1).all()


def test_what_is_stored_is_what_screening_sees(trained_folder, phantom_data, recipe, bundle):
    from cxrscreen.systems.comit_net.preprocessing import grey_view
    from cxrscreen.systems.comit_net.splits import parts_of
    from cxrscreen.systems.comit_net.training import learned_from

    parts = parts_of(recipe, phantom_data)
    image_ids = learned_from(parts)
    stored = np.load(trained_folder / "work" / "images" / "images.npy", mmap_mode="r")
    assert len(stored) == len(image_ids)
    settings = load_system(bundle.folder, threads=1).settings
    place = next(row for row, i in enumerate(image_ids) if i in parts.regions.image_ids)
    pixels = read(phantom_data.image_file(image_ids[place])).pixels
    np.testing.assert_array_equal(stored[place, 0], grey_view(pixels, 64, settings))
    lungs, region = stored[place, 1], stored[place, 2]
    assert set(np.unique(lungs)) == {0, 1}
    assert IGNORE not in region
    # The box is around the lower half of one lung.
    assert 0.2 < (region & lungs).sum() / lungs.sum() < 0.45


def test_finished_steps_are_not_repeated_nor_taken_for_another_recipe(
    trained_folder, recipe, recipe_file, phantom_data, tmp_path, monkeypatch
):
    from cxrscreen.systems.comit_net import training
    from cxrscreen.systems.comit_net.export import train_bundle

    def never(*_):
        raise AssertionError("a finished step was repeated")

    for step in ("store_images", "_train"):
        monkeypatch.setattr(training, step, never)
    training.train_comit_net(recipe, phantom_data, trained_folder / "work")
    other = recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"disease": 2.0})})
    with pytest.raises(RecipeError, match="of another recipe or of other data"):
        training.train_comit_net(other, phantom_data, trained_folder / "work")
    half = recipe.model_copy(update={"compute": recipe.compute.model_copy(update={"precision": "bf16-mixed"})})
    with pytest.raises(RecipeError, match="of another recipe or of other data"):
        training.train_comit_net(half, phantom_data, trained_folder / "work")
    with monkeypatch.context() as patch:
        patch.setattr(training, "facts_stamp", lambda *_: "other labels")
        with pytest.raises(RecipeError, match="of another recipe or of other data"):
            training.train_comit_net(recipe, phantom_data, trained_folder / "work")
    tiny = trained_folder / "tiny"
    assert train_bundle(recipe_file, phantom_data, tmp_path / "work", tiny).card == open_bundle(tiny).card


def test_batches_are_drawn_evenly_over_what_the_recipe_names(recipe, phantom_data):
    from cxrscreen.data.disease_masks import disease_masks
    from cxrscreen.systems.comit_net.splits import parts_of
    from cxrscreen.systems.comit_net.training import even_batches

    train = parts_of(recipe, phantom_data).train
    phase = recipe.phases[0]
    names = even_batches(recipe, phantom_data, train, phase).names
    assert {name.split("/")[1] for name in names} == {"AP", "PA"}
    assert {name.split("/")[0] for name in names} == {"normal", "covid19", "other"}
    # Where labels are not learned, a view would be filled with images that say nothing.
    data = recipe.data.model_copy(update={"even_over": ("view",), "masks_alone": ("phantom",)})
    by_view = recipe.model_copy(update={"data": data})
    assert even_batches(by_view, phantom_data, train, phase).names == ["no label"]
    by_region = recipe.model_copy(update={"data": recipe.data.model_copy(update={"even_over": ("region",)})})
    assert even_batches(by_region, phantom_data, train, phase).names == ["all", "region"]
    # Healthy images, whose region is known to be empty, are not in the group of the diseased ones, asked for or not.
    regions = disease_masks(phantom_data).image_ids
    for tasks in (by_region.tasks, ("lungs", "disease", "diagnosis")):
        data = by_region.data.model_copy(update={"healthy_regions": True})
        part = parts_of(by_region.model_copy(update={"data": data, "tasks": tasks}), phantom_data).train
        assert even_batches(by_region, phantom_data, part, phase).names == ["all", "region"]
        marked = [i in regions for i in part.image_ids]
        assert part.diseased.tolist() == marked
        assert part.region.sum() > sum(marked)
    # Of whatever class and view, they are one group.
    data = recipe.data.model_copy(update={"even_over": ("class", "view", "region")})
    batches = even_batches(recipe.model_copy(update={"data": data}), phantom_data, train, phase)
    assert [name for name in batches.names if "/" not in name] == ["region"]
    assert {name.split("/")[0] for name in batches.names} >= {"normal", "other", "region"}
    plain = recipe.model_copy(update={"data": recipe.data.model_copy(update={"even_over": ()})})
    assert even_batches(plain, phantom_data, train, phase).names == ["all"]


def test_what_would_fail_later_fails_at_once(recipe, phantom_data, tmp_path):
    from cxrscreen.systems.comit_net.training import train_comit_net

    lost = recipe.model_copy(update={"network": recipe.network.model_copy(update={"weights": "nowhere.pth"})})
    with pytest.raises(RecipeError, match=r"nowhere\.pth"):
        train_comit_net(lost, phantom_data, tmp_path)
    nowhere = recipe.model_copy(update={"data": recipe.data.model_copy(update={"sources": ("nowhere",)})})
    with pytest.raises(ManifestError, match="leaves no image"):
        train_comit_net(nowhere, phantom_data, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disease_region_is_measured(bundle, phantom_data, tmp_path):
    from cxrscreen.data.disease_masks import disease_masks
    from cxrscreen.evaluate.disease_regions import RegionProvenance, region_rows, write_regions

    regions = disease_masks(phantom_data)
    system = load_system(bundle.folder, threads=1)
    image_ids = sorted(regions.image_ids)[:2]
    rows, failures = region_rows(system, phantom_data, regions, image_ids, read, threshold=0.0)
    assert failures == {}
    # With the threshold at 0 everything is called: all of the region is found, and the precision is its share.
    assert (rows["false_negative"] == 0).all()
    shape = read(phantom_data.image_file(image_ids[0])).shape
    assert rows["true_positive"].iloc[0] == regions.mask(image_ids[0], shape).sum()
    files = write_regions(tmp_path, rows, {}, RegionProvenance(system.bundle_id, "test", 0, ()), replicates=100)
    page = files["metrics.md"].read_text(encoding="utf-8")
    assert "Research use only" in page
    assert "| all | 2 | 1.000" in page
    assert "does not say which images taught it" in page
    about = RegionProvenance(system.bundle_id, "validation", 0, (), left_out=3)
    page = write_regions(tmp_path, rows, {}, about, replicates=100)["metrics.md"].read_text(encoding="utf-8")
    assert "Left out: 3 images" in page
    assert "Not the test part" in page


def test_what_is_called_diseased_where_nothing_is_has_its_table(bundle, phantom_data, tmp_path):
    from cxrscreen.data.disease_masks import disease_masks
    from cxrscreen.errors import CxrscreenError
    from cxrscreen.evaluate.disease_regions import (
        RegionProvenance,
        healthy_rows,
        outlining,
        region_rows,
        write_regions,
    )

    system, regions = load_system(bundle.folder, threads=1), disease_masks(phantom_data)
    table = phantom_data.table
    normal = list(table.index[table["label"] == "normal"][:2])
    everything, failures = healthy_rows(system, phantom_data, normal, read, threshold=0.0)
    nothing, _ = healthy_rows(system, phantom_data, normal, read, threshold=1.1)
    assert failures == {}
    assert (everything["image"] == 1).all()
    assert (everything["lungs"].dropna() == 1).all()
    assert (nothing["image"] == 0).all()
    half = pd.concat([everything, nothing]).assign(lungs=[1.0, 0.0, 0.0, float("nan")])
    rows, _ = region_rows(system, phantom_data, regions, sorted(regions.image_ids)[:1], read)
    about = RegionProvenance(system.bundle_id, "test", 0, ())
    files = write_regions(tmp_path, rows, {}, about, healthy=half, replicates=100)
    found = json.loads(files["metrics.json"].read_text(encoding="utf-8"))["without_disease"]["all"]
    assert (found["images"], found["image"]["value"]) == (4, 0.5)
    assert found["lungs"]["value"] == pytest.approx(1 / 3)
    page = files["metrics.md"].read_text(encoding="utf-8")
    assert "| all | 4 | 0.333" in page
    with pytest.raises(CxrscreenError, match="shows no diseased region"):
        outlining(load_system("cascade", threads=1))


def test_what_taught_a_bundle_is_left_out_of_its_regions(bundle, phantom_data, recipe, tmp_path):
    from cxrscreen.cli.disease_regions import evaluate_regions
    from cxrscreen.data.disease_masks import disease_masks
    from cxrscreen.data.protocols import make_split
    from cxrscreen.systems.comit_net.splits import parts_of
    from cxrscreen.systems.learned import LEARNED, taught_by

    file, parts = bundle.file(LEARNED), parts_of(recipe, phantom_data)
    taught = taught_by(file, phantom_data, "test")
    assert taught >= {*parts.split.train, *parts.split.validation}
    assert not taught & set(parts.split.test)
    assert not taught_by(file, phantom_data, "validation") & set(parts.split.validation)
    assert taught_by(tmp_path / LEARNED, phantom_data, "test") is None
    given = {"sources": (), "part": "test", "limit": None, "replicates": 100}
    evaluate_regions(str(bundle.folder), None, phantom_data.root, tmp_path, seed=recipe.splitting, **given)
    own = json.loads((tmp_path / "metrics.json").read_text())
    assert (own["sources"], own["left_out"]) == (["phantom"], 0)
    assert "None of them, nor another image" in (tmp_path / "metrics.md").read_text()
    # By another seed the test part holds images that taught the bundle.
    regions = disease_masks(phantom_data).image_ids
    tests = {seed: set(make_split("comit-images", phantom_data, seed).test) & regions for seed in range(1, 20)}
    seed = next(seed for seed, ids in tests.items() if ids and ids <= taught)
    with pytest.raises(ManifestError, match="no image with a known region that taught nothing"):
        evaluate_regions(str(bundle.folder), None, phantom_data.root, tmp_path / "other", seed=seed, **given)


def some_labels(phantom_data, folder, case):
    """The phantoms with a part of what is known of them, as a folder of their own."""
    table = phantom_data.table.copy()
    boxes = pd.read_csv(phantom_data.root / "boxes.csv")
    if case == "children":
        table["pediatric"] = "true"
    else:
        # One image of COVID-19 trains, with its region, and none is left to validate and to test.
        known = list(table.index[table["label"] == "covid19"])
        table.loc[known[1:], ["label", "finding"]] = "unknown"
        boxes = boxes[boxes["image_id"].isin(known[:1])]
    for file in phantom_data.root.iterdir():
        if file.name not in {"manifest.csv", "boxes.csv"}:
            (folder / file.name).symlink_to(file)
    table.drop(columns="group").to_csv(folder / "manifest.csv", index=False)
    boxes.to_csv(folder / "boxes.csv", index=False)
    return load_manifest(folder)


@pytest.mark.parametrize(
    ("case", "measured", "left"),
    [
        ("children", {"lungs-any"}, ["Unhealthy lungs", "COVID-19, against", "Pneumonia other"]),
        ("one of COVID-19", {"comit-unhealthy", "comit-other", "lungs-any"}, ["COVID-19, against"]),
    ],
)
def test_any_subset_of_the_labels_makes_a_bundle(phantom_data, recipe, tmp_path, case, measured, left):
    from cxrscreen.evaluate.card import measure_bundle
    from cxrscreen.systems.comit_net.export import train_bundle

    folder, file = tmp_path / "data", tmp_path / "recipe.yaml"
    folder.mkdir()
    manifest = some_labels(phantom_data, folder, case)
    phases = [phase.model_dump(mode="json") for phase in recipe.phases[:1]]
    content = recipe.model_dump(mode="json") | {"phases": phases, "region_recall": 0.9}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    made = train_bundle(file, manifest, tmp_path / "work", tmp_path / "bundle")
    card = measure_bundle(made.folder, manifest, read, lambda *_: None).card
    assert set(card.data.splits) == set(card.results) == measured
    limits = [text for text in card.limits if text.startswith("Not measured")]
    assert len(limits) == len(left)
    assert all(name in text for name, text in zip(left, limits, strict=True))
    told = " ".join(card.limits)
    assert ("of 2 validation images" in told, "moved nothing" in told) == (case == "children", case != "children")
    assert (
        load_system(made.folder, threads=1)
        .screen(read(manifest.image_file(str(manifest.table.index[0]))), force=True, explain=False)
        .probabilities.keys()
        == card.stages.keys()
    )
