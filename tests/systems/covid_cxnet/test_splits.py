import pandas as pd
import pytest

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError
from cxrscreen.systems.covid_cxnet.splits import asked_splits, splits_of


@pytest.fixture
def manifest(tmp_path):
    rows = []
    for source, label, child, view in (
        ("adults", "normal", "false", "PA"),
        ("children", "normal", "true", "AP"),
        ("adults", "covid19", "false", "AP"),
        ("adults", "bacterial", "false", "PA"),
        ("adults", "tuberculosis", "false", "PA"),
        ("adults", "covid19", "false", "L"),
        ("elsewhere", "normal", "false", "PA"),
    ):
        rows += [
            {"image_id": f"{source}-{label}-{view}-{n}", "path": "x", "source": source, "label": label, "view": view,
             "pediatric": child, "patient_id": f"p{n}{label}{view}"}
            for n in range(20)
        ]  # fmt: skip
    return check_manifest(pd.DataFrame(rows), tmp_path)


def with_rules(recipe, classes="binary", **rules):
    data = recipe.data.model_copy(update={"sources": ("adults", "children"), **rules})
    return recipe.model_copy(update={"classes": classes, "data": data, "pretraining": None})


def sources_of(manifest, ids):
    return set(manifest.table.loc[list(ids), "source"])


def test_the_rules_are_kept(recipe, manifest):
    split = splits_of(with_rules(recipe), manifest)["classes"]
    used = manifest.table.loc[[*split.train, *split.validation, *split.test]]
    assert set(used["label"]) == {"normal", "covid19"}
    assert set(used["source"]) == {"adults"}
    assert "L" not in set(used["view"])
    assert all(split.truth[i] == int(used.at[i, "label"] == "covid19") for i in used.index)
    three = splits_of(with_rules(recipe, "three"), manifest)["classes"]
    assert set(three.truth.values()) == {0, 1, 2}
    assert not any("tuberculosis" in i for i in three.truth)


def test_paediatric_normals_train_and_adults_test(recipe, manifest):
    split = splits_of(with_rules(recipe, paediatric="normals"), manifest)["classes"]
    for part in (split.train, split.validation):
        assert sources_of(manifest, [i for i in part if split.truth[i] == 0]) == {"children"}
        assert sources_of(manifest, [i for i in part if split.truth[i] == 1]) == {"adults"}
    assert sources_of(manifest, split.test) == {"adults"}
    # The same images test, whatever was learned from.
    assert split.test == splits_of(with_rules(recipe), manifest)["classes"].test
    kept = splits_of(with_rules(recipe, paediatric="kept"), manifest)["classes"]
    assert sources_of(manifest, kept.train) == {"adults", "children"}


def test_a_smaller_share_is_a_subset_with_every_class(recipe, manifest):
    whole, half, few = (splits_of(with_rules(recipe, share=share), manifest)["classes"] for share in (1.0, 0.5, 0.01))
    assert set(few.train) < set(half.train) < set(whole.train)
    assert {few.truth[i] for i in few.train} == {0, 1}
    assert half.test == whole.test


def test_views_choose_what_is_learned_from(recipe, manifest):
    split = splits_of(with_rules(recipe, views=("PA", "AP")), manifest)["classes"]
    assert set(manifest.table.loc[list(split.train), "view"]) == {"PA", "AP"}
    with pytest.raises(ManifestError, match="no image of the class COVID-19"):
        splits_of(with_rules(recipe, views=("PA",)), manifest)


def test_another_seed_of_the_training_need_not_move_images(recipe, manifest):
    usual = with_rules(recipe)
    moved, kept = (usual.model_copy(update={"seed": 7, "split_seed": seed}) for seed in (None, usual.seed))
    assert splits_of(kept, manifest)["classes"].digest == splits_of(usual, manifest)["classes"].digest
    assert splits_of(moved, manifest)["classes"].digest != splits_of(usual, manifest)["classes"].digest


def test_of_a_source_left_out_nothing_is_learned_and_all_is_tested(recipe, manifest):
    rules = {"sources": ("adults", "elsewhere"), "left_out": ("elsewhere",)}
    whole = splits_of(with_rules(recipe, sources=rules["sources"]), manifest)["classes"]
    split = splits_of(with_rules(recipe, **rules), manifest)["classes"]
    every = {i for i in manifest.table.index if i.startswith("elsewhere")}
    assert every <= set(split.test)
    # Patients of a number are the same in all sources: whoever is in the one left out teaches nothing.
    unseen = set(manifest.table.loc[sorted(every), "group"])
    learned = {split.groups[i] for i in (*split.train, *split.validation)}
    assert not learned & unseen
    assert set(split.train) <= set(whole.train)


def test_a_source_that_is_not_there_cannot_be_left_out(recipe):
    with pytest.raises(ValueError, match="left_out names nowhere"):
        type(recipe.data)(sources=("adults",), left_out=("nowhere",))


def test_what_is_left_out_sets_no_threshold(recipe, manifest):
    sources = ("adults", "elsewhere")
    asked = asked_splits(with_rules(recipe, sources=sources), manifest)
    assert {name for split in asked.values() for name in sources_of(manifest, split.validation)} == set(sources)
    without = asked_splits(with_rules(recipe, sources=sources, left_out=("elsewhere",)), manifest)
    for split in without.values():
        assert sources_of(manifest, [*split.train, *split.validation, *split.test]) == {"adults"}


def test_a_finding_without_pneumonia_pre_trains(recipe, tmp_path):
    rows = [
        {"image_id": f"{source}-{label}-{n}", "path": "x", "source": source, "label": label, "finding": finding,
         "pediatric": "false", "patient_id": f"{source}{label}{n}"}
        for source, label, finding in (
            ("nih", "normal", "No Finding"),
            ("nih", "other", "Effusion|Mass"),
            ("nih", "pneumonia", "Pneumonia"),
            ("elsewhere", "normal", "normal"),
            ("elsewhere", "covid19", "COVID-19"),
            ("elsewhere", "nodule", "nodule"),
            ("elsewhere", "other", "scoliosis"),
        )
        for n in range(20)
    ]  # fmt: skip
    manifest = check_manifest(pd.DataFrame(rows), tmp_path)
    pretraining = recipe.pretraining.model_copy(update={"sources": ("nih", "elsewhere")})
    data = recipe.data.model_copy(update={"sources": ("nih", "elsewhere")})
    split = splits_of(recipe.model_copy(update={"data": data, "pretraining": pretraining}), manifest)["findings"]
    used = {i.rpartition("-")[0] for part in ("train", "validation") for i in split.part(part)}
    # Of the last source's other findings nothing is known of the fourteen.
    assert used == {
        "nih-normal", "nih-other", "nih-pneumonia", "elsewhere-normal", "elsewhere-covid19", "elsewhere-nodule"
    }  # fmt: skip


def test_operating_points_are_set_by_the_classes_that_are_taught(recipe, manifest):
    asked = asked_splits(with_rules(recipe, "three"), manifest)
    assert set(asked) == {"cxnet-pneumonia", "cxnet-covid19", "cxnet-classes"}
    for split in asked.values():
        assert not any("tuberculosis" in i for i in split.truth)
    assert {i.split("-")[1] for i in asked["cxnet-covid19"].truth} == {"covid19", "bacterial"}
    assert {i.split("-")[1] for i in asked["cxnet-pneumonia"].truth} == {"normal", "covid19", "bacterial"}
