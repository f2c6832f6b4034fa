import gzip
import json
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.data.manifest import LABELS, PNEUMONIA_LABELS, check_manifest
from cxrscreen.data.protocols import PARTS, PROTOCOLS, make_split, truth_by_label
from cxrscreen.errors import ManifestError

ROW = st.tuples(
    st.sampled_from(LABELS),
    st.sampled_from(["shenzhen", "montgomery", "cohen", "nih"]),
    st.sampled_from(["", "p1", "p2", "p3", "p4"]),
    st.sampled_from(["PA", "L"]),
    st.sampled_from(["true", "false", "unknown"]),
)


def manifest_of(rows, root, twins=None):
    ids = [f"i{number:03}" for number in range(len(rows))]
    return check_manifest(
        pd.DataFrame(
            {
                "image_id": ids,
                "path": [f"{name}.png" for name in ids],
                "label": [row[0] for row in rows],
                "source": [row[1] for row in rows],
                "patient_id": [row[2] and f"{row[1]}:{row[2]}" for row in rows],
                "view": [row[3] for row in rows],
                "pediatric": [row[4] for row in rows],
                "lung_mask": [f"{name}-mask.png" for name in ids],
                "lung_mask_origin": "human",
                "duplicate_of": twins or [""] * len(rows),
            }
        ),
        root,
    )


@given(rows=st.lists(ROW, min_size=1, max_size=60), seed=st.integers(0, 5), name=st.sampled_from(sorted(PROTOCOLS)))
@settings(max_examples=60, deadline=None)
def test_no_group_is_in_two_parts_and_nothing_is_lost(tmp_path_factory, rows, seed, name):
    manifest = manifest_of(rows, tmp_path_factory.getbasetemp())
    try:
        split = make_split(name, manifest, seed)
    except ManifestError:
        return
    kept = [image_id for part in PARTS for image_id in split.part(part)]
    assert len(kept) == len(set(kept))
    assert len(kept) + sum(split.dropped.values()) == len(rows)
    parts_of_group = {}
    for part in PARTS:
        for image_id in split.part(part):
            parts_of_group.setdefault(split.groups[image_id], set()).add(part)
    assert all(len(parts) == 1 for parts in parts_of_group.values())
    assert make_split(name, manifest, seed).digest == split.digest


def test_sources_can_be_asked_for_and_no_image_changes_part(tmp_path):
    manifest = manifest_of([("normal", source, "", "PA", "false") for source in ("nih", "cohen")] * 40, tmp_path)
    everyone, some = make_split("stage2", manifest), make_split("stage2", manifest, sources=("nih",))
    for part in PARTS:
        assert some.part(part) == tuple(i for i in everyone.part(part) if manifest.table.at[i, "source"] == "nih")
    assert some.dropped["not of the sources asked for"] == 40
    with pytest.raises(ManifestError, match="left out as: not of the sources asked for"):
        make_split("stage2", manifest, sources=("elsewhere",))


def test_classes_and_the_decisions_on_them_are_of_the_same_images(tmp_path):
    labels = ("normal", "bacterial", "tuberculosis", "viral", "covid19", "pneumonia", "nodule")
    manifest = manifest_of([(label, "cohen", "", "PA", "false") for label in labels] * 20, tmp_path)
    classes = make_split("patch-classes", manifest)
    by_label = {str(manifest.table.at[i, "label"]): truth for i, truth in classes.truth.items()}
    assert by_label == {"normal": 0, "bacterial": 1, "tuberculosis": 2, "viral": 3, "covid19": 3}
    assert truth_by_label("patch-classes") == by_label
    for place, name in enumerate(("pneumonia", "bacterial", "tuberculosis", "viral")):
        decision = make_split(f"patch-{name}", manifest)
        assert decision.digest == classes.digest
        expected = (lambda truth: truth > 0) if name == "pneumonia" else (lambda truth, own=place: truth == own)
        assert all(decision.truth[i] == expected(truth) for i, truth in classes.truth.items())


def test_hearts_narrow_the_images_and_move_none(tmp_path):
    table = manifest_of(many("normal", "jsrt", 60), tmp_path).table.drop(columns="group").reset_index(drop=True)
    table["heart_mask"] = ["heart.png" if i % 3 else "" for i in range(len(table))]
    manifest = check_manifest(table, tmp_path)
    lungs, organs = make_split("lungs-any", manifest), make_split("patch-organs", manifest)
    for part in PARTS:
        assert organs.part(part) == tuple(i for i in lungs.part(part) if manifest.table.at[i, "heart_mask"])


def many(label, source, count):
    return [(label, source, "", "PA", "false")] * count


def test_shares_are_those_of_the_paper(tmp_path):
    manifest = manifest_of(many("normal", "nih", 400) + many("covid19", "cohen", 400), tmp_path)
    split = make_split("stage2", manifest)
    counts = {part: [sum(split.truth[i] == truth for i in split.part(part)) for truth in (0, 1)] for part in PARTS}
    assert counts == {"train": [320, 200], "validation": [40, 100], "test": [40, 100]}


def test_truth_and_rules_of_the_stages(tmp_path):
    rows = [(label, "cohen", "", "PA", "false") for label in LABELS]
    manifest = manifest_of([*rows, ("normal", "cohen", "", "L", "false")], tmp_path)
    stage2, stage3 = make_split("stage2", manifest), make_split("stage3", manifest)
    label = manifest.table["label"]
    kept = [i for part in PARTS for i in stage2.part(part)]
    assert sorted(label[kept]) == sorted(("normal", *PNEUMONIA_LABELS))
    assert stage2.dropped == {"copies of another image": 0, "lateral views": 1, "neither normal nor pneumonia": 3}
    kept3 = [i for part in PARTS for i in stage3.part(part)]
    assert {label[i] for i in kept3 if stage3.truth[i]} == {"covid19"}


def test_an_image_that_tests_one_stage_has_trained_none(tmp_path):
    rows = many("normal", "shenzhen", 100) + many("tuberculosis", "montgomery", 100) + many("covid19", "cohen", 100)
    manifest = manifest_of(rows, tmp_path)
    splits = [make_split(name, manifest) for name in ("lungs", "stage2", "stage3")]
    tested = {i for split in splits for i in split.test}
    trained = {i for split in splits for i in split.train}
    assert tested
    assert not tested & trained


def test_children_are_dropped_by_name(tmp_path):
    rows = [("normal", "nih", "", "PA", "true")] * 10 + [("bacterial", "nih", "", "PA", "false")] * 10
    manifest = manifest_of(rows, tmp_path)
    assert make_split("stage2-adults", manifest).dropped["paediatric images"] == 10
    assert "paediatric images" not in make_split("stage2", manifest).dropped


def test_a_split_with_a_shared_group_cannot_be_made(tmp_path):
    split = make_split("stage2", manifest_of(many("normal", "nih", 20), tmp_path))
    stolen = split.train[0]
    groups = dict(split.groups) | {stolen: split.groups[split.test[0]]}
    with pytest.raises(ManifestError, match="two parts"):
        replace(split, groups=groups)


def test_saved_splits_say_the_same_and_are_reproducible(tmp_path):
    split = make_split("stage2", manifest_of(many("normal", "nih", 20), tmp_path))
    split.save(tmp_path / "split.json")
    split.save(tmp_path / "one.json.gz")
    split.save(tmp_path / "two.json.gz")
    content = json.loads((tmp_path / "split.json").read_text())
    assert content["digest"] == split.digest
    assert tuple(content["train"]) == split.train
    assert json.loads(gzip.decompress((tmp_path / "one.json.gz").read_bytes())) == content
    assert (tmp_path / "one.json.gz").read_bytes() == (tmp_path / "two.json.gz").read_bytes()


def test_unknown_protocol_and_empty_result_are_named(tmp_path):
    manifest = manifest_of(many("nodule", "nih", 3), tmp_path)
    with pytest.raises(ManifestError, match="no protocol 'stage4'"):
        make_split("stage4", manifest)
    with pytest.raises(ManifestError, match="leaves no image"):
        make_split("stage2", manifest)


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    rows = many("normal", "nih", 30) + many("covid19", "cohen", 30)
    manifest = manifest_of(rows, tmp_path)
    shuffled = check_manifest(
        manifest.table.drop(columns="group").sample(frac=1.0, random_state=0).reset_index(drop=True), tmp_path
    )
    assert make_split("stage2", shuffled).digest == make_split("stage2", manifest).digest


def test_jsrt_trains_nothing(tmp_path):
    split = make_split("lungs-jsrt", manifest_of([*many("nodule", "jsrt", 9), *many("normal", "nih", 3)], tmp_path))
    assert (len(split.train), len(split.validation), len(split.test)) == (0, 0, 9)


def test_masks_that_include_the_heart_are_not_mixed_in(tmp_path):
    manifest = manifest_of(many("normal", "kermany", 10) + many("normal", "nih", 10), tmp_path)
    assert make_split("lungs-any", manifest).dropped["lung masks that include the heart"] == 10
