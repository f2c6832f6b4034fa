from math import isnan

import numpy as np
import pandas as pd
import pytest

from cxrscreen.data.disease_masks import BOX_COLUMNS
from cxrscreen.data.manifest import Manifest, check_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import ManifestError
from cxrscreen.systems.comit_net.labels import COVID19, OTHER, UNHEALTHY, diagnosis_of, health_of
from cxrscreen.systems.comit_net.splits import heart_included, parts_of, without

LABELS = ("normal", "covid19", "bacterial", "nodule", "unknown")


def table(**changes):
    rows = [
        {
            "image_id": f"{source}-{label}-{n}",
            "path": "x",
            "source": source,
            "label": label,
            "patient_id": f"{label}{n // 2}",
            "lung_mask": "m" if n % 2 or source == "cohen" else "",
            "lung_mask_origin": "human" if n % 2 or source == "cohen" else "",
        }
        for source in ("here", "cohen", "children")
        for label in LABELS
        for n in range(12)
    ]
    return pd.DataFrame(rows).assign(**changes)


def with_data(recipe, **rules):
    data = recipe.data.model_copy(update={"sources": ("here", "cohen", "children"), **rules})
    return recipe.model_copy(update={"data": data})


def boxes(root, ids):
    rows = [(i, "Pneumonia", 1, 1, 2, 2) for i in ids]
    pd.DataFrame(rows, columns=BOX_COLUMNS).to_csv(root / "boxes.csv", index=False)


def test_labels_become_switches_and_truths(recipe, tmp_path):
    boxes(tmp_path, ["here-covid19-1", "here-nodule-4", "here-bacterial-2"])
    manifest = check_manifest(table(), tmp_path)
    parts = parts_of(with_data(recipe, masks_alone=("children",)), manifest)
    assert parts.masks == ("lungs", "disease")
    assert parts.decisions == (UNHEALTHY, COVID19, OTHER)
    part = parts.train
    for row, image_id in enumerate(part.image_ids):
        facts = manifest.table.loc[image_id]
        assert part.lungs[row] == bool(facts["lung_mask"])
        tells = facts["source"] != "children"
        truth = [health_of(facts["label"]), *diagnosis_of(facts["label"])] if tells else [np.nan] * 3
        np.testing.assert_array_equal([part.health[row], *part.diagnosis[row]], truth)
    assert {i for i, on in zip(part.image_ids, part.region, strict=True) if on} <= parts.regions.image_ids
    # Without a mask and without a label there is nothing to learn.
    assert "here-unknown-0" not in parts.split.truth


def test_what_labels_say():
    assert [health_of(label) for label in LABELS[:4]] == [0, 1, 1, 1]
    assert isnan(health_of("unknown"))
    assert [diagnosis_of(label) for label in LABELS[:3]] == [(0, 0), (1, 0), (0, 1)]
    assert diagnosis_of("tuberculosis") == (0, 1)
    covid19, other = diagnosis_of("nodule")
    assert covid19 == 0
    assert isnan(other)


def test_outlines_that_are_measured_teach_nothing(recipe, tmp_path):
    manifest = check_manifest(table(), tmp_path)
    parts = parts_of(with_data(recipe), manifest)
    outlines = make_split("lungs-any", manifest, recipe.splitting)
    groups = {outlines.groups[i] for i in (*outlines.validation, *outlines.test)}
    train = parts.train
    assert not any(
        on and manifest.table.at[i, "group"] in groups for i, on in zip(train.image_ids, train.lungs, strict=True)
    )
    judged = {i for i, on in zip(parts.validation.image_ids, parts.validation.lungs, strict=True) if on}
    assert judged == set(outlines.validation)
    assert not {manifest.table.at[i, "group"] for i in judged} & {
        manifest.table.at[i, "group"] for i in train.image_ids
    }
    assert set(parts.split.test) == set(make_split("comit-images", manifest, recipe.splitting).test)
    assert heart_included(manifest, "cohen-normal-0")
    assert not heart_included(manifest, "here-normal-1")


@pytest.mark.parametrize(
    ("changes", "masks", "decisions"),
    [
        ({"lung_mask": ""}, (), (UNHEALTHY, COVID19, OTHER)),
        ({"lung_mask_origin": "automatic"}, (), (UNHEALTHY, COVID19, OTHER)),
        ({"source": "cohen"}, ("lungs",), (UNHEALTHY, COVID19, OTHER)),
        ({"label": ["normal", "covid19", "covid19"] * 60}, ("lungs",), (UNHEALTHY, COVID19)),
        ({"label": ["normal", "nodule", "unknown"] * 60}, ("lungs",), (UNHEALTHY,)),
        ({"label": ["covid19", "nodule", "bacterial"] * 60}, ("lungs",), (COVID19, OTHER)),
    ],
)
def test_any_subset_of_the_labels_will_do(recipe, tmp_path, changes, masks, decisions):
    parts = parts_of(with_data(recipe), check_manifest(table(**changes), tmp_path))
    assert (parts.masks, parts.decisions) == (masks, decisions)
    assert parts.validation.switched_on.all()


def test_nothing_to_decide_is_a_sentence(recipe, tmp_path):
    with pytest.raises(ManifestError, match="neither healthy beside unhealthy lungs nor COVID-19"):
        parts_of(with_data(recipe), check_manifest(table(label="normal"), tmp_path))


def test_tasks_and_sources_that_are_not_asked_for_are_off(recipe, tmp_path):
    boxes(tmp_path, ["here-covid19-1"])
    manifest = check_manifest(table(), tmp_path)
    alone = parts_of(with_data(recipe).model_copy(update={"tasks": ("diagnosis",)}), manifest)
    assert alone.masks == ()
    assert not alone.train.lungs.any()
    assert np.isnan(alone.train.health).all()
    assert alone.decisions == (COVID19, OTHER)
    healthy = parts_of(with_data(recipe, healthy_regions=True), manifest).train
    labels = manifest.table.loc[list(healthy.image_ids), "label"].to_numpy()
    assert healthy.region[labels == "normal"].all()
    assert {i for i, on in zip(healthy.image_ids, healthy.diseased, strict=True) if on} <= {"here-covid19-1"}


def test_covid19_is_known_whatever_is_asked(recipe, tmp_path):
    manifest = check_manifest(table(), tmp_path)
    asked = with_data(recipe, masks_alone=("children",)).model_copy(update={"tasks": ("lungs", "health")})
    part = parts_of(asked, manifest).train
    assert np.isnan(part.diagnosis).all()
    facts = manifest.table.loc[list(part.image_ids)]
    assert part.covid19.any()
    assert (part.covid19 == ((facts["label"] == "covid19") & (facts["source"] != "children")).to_numpy()).all()


def test_healthy_images_alone_teach_no_region(recipe, tmp_path):
    manifest = check_manifest(table(), tmp_path)
    asked = with_data(recipe, healthy_regions=True, masks_alone=("children",))
    found = parts_of(asked.model_copy(update={"tasks": ("lungs", "disease", "diagnosis")}), manifest)
    assert found.train.region.any()
    assert not found.train.diseased.any()
    assert found.masks == ("lungs",)


def test_outlines_that_test_never_choose(recipe, tmp_path):
    rows = table(lung_mask="", lung_mask_origin="")
    held = make_split("comit-images", check_manifest(rows, tmp_path), recipe.splitting).validation
    rows.loc[rows["image_id"].isin(held), ["lung_mask", "lung_mask_origin"]] = ("m", "human")
    manifest = check_manifest(rows, tmp_path)
    outlines = make_split("lungs-any", manifest, recipe.splitting)
    assert not outlines.validation
    assert outlines.test
    part = parts_of(with_data(recipe), manifest).validation
    chosen_by = {i for i, on in zip(part.image_ids, part.lungs, strict=True) if on}
    # Cohen's, which include the heart, test nothing.
    assert chosen_by == {i for i in held if i.startswith("cohen")}


def test_leaving_a_source_out_leaves_out_its_patients(recipe, tmp_path):
    manifest = check_manifest(table(), tmp_path)
    # Two of the six patients of each label.
    some = manifest.table.index.str.contains("-[0-3]$")
    both = manifest.table.index[(manifest.table["source"] == "cohen") & some]
    there = manifest.table.index[(manifest.table["source"] == "here") & some]
    linked = manifest.table.copy()
    linked.loc[both, "group"] = linked.loc[there, "group"].tolist()
    manifest = Manifest(linked, manifest.root)
    asked = with_data(recipe, left_out=("here",))
    split = parts_of(asked, manifest).split
    learned = set(split.truth)
    assert any(i.startswith("cohen") for i in learned)
    assert not learned & {*both, *linked.index[linked["source"] == "here"]}
    # No other image changes part, so that what a bundle is measured on has taught it nothing.
    whole = make_split("comit-images", manifest, asked.splitting, asked.data.learned)
    assert set(split.train) < set(whole.train)
    assert set(split.test) < set(whole.test)
    assert without(whole, manifest, ()) is whole
