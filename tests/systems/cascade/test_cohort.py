"""Who is old, who is new, and who is held out, on constructed manifests."""

import gzip
import json
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.data.manifest import check_manifest
from cxrscreen.data.protocols import PARTS
from cxrscreen.errors import BundleError, ManifestError
from cxrscreen.systems.cascade.cohort import check_cohort, known_parts, make_cohort


def manifest_of(labels, root, prefix="a", patients=None, source="here"):
    rows = [
        (f"{prefix}{i}", f"{prefix}{i}.png", source, f"p{i}" if patients is None else patients[i], label)
        for i, label in enumerate(labels)
    ]
    return check_manifest(pd.DataFrame(rows, columns=["image_id", "path", "source", "patient_id", "label"]), root)


def bundle_of(folder, **splits):
    folder.mkdir(exist_ok=True)
    for name, parts in splits.items():
        content = {part: parts.get(part, []) for part in PARTS}
        (folder / f"split-{name}.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    card = SimpleNamespace(data=SimpleNamespace(splits=dict.fromkeys(splits, "digest")), bundle_id="cascade@1")
    return SimpleNamespace(card=card, file=lambda name: folder / name)


OLD = ["normal", "bacterial", "viral", "normal"] * 15
NEW = ["covid19"] * 20 + ["bacterial"] * 10


@pytest.fixture
def old(tmp_path):
    return manifest_of(OLD, tmp_path / "old", "old")


@pytest.fixture
def new(tmp_path):
    return manifest_of(NEW, tmp_path / "new", "new", source="there")


@pytest.fixture
def unknowing(tmp_path):
    return bundle_of(tmp_path / "bundle")


def test_old_and_new_images_are_split_by_patient_and_told_apart(new, old, unknowing):
    cohort = make_cohort(unknowing, new, old)
    assert cohort.new == set(new.table.index)
    assert len(cohort.images) == len(OLD) + len(NEW)
    assert cohort.cases == 10
    assert cohort.counts()["new"]["train"]["covid19"] == 10
    assert cohort.counts()["new"]["test"]["covid19"] == 5
    stage3 = cohort.splits["stage3"]
    assert not any(cohort.manifest.table.at[i, "label"] == "normal" for part in PARTS for i in stage3.part(part))
    # D_o holds neither new images nor the new disease.
    assert cohort.in_old_set(["old0", "new0", "new25"]).tolist() == [True, False, False]
    assert cohort.manifest.image_file("old3") == (old.root / "old3.png").resolve()
    assert cohort.manifest.image_file("new3") == (new.root / "new3.png").resolve()


def test_masks_of_disease_in_one_of_the_manifests_are_found_from_the_merged_one(new, old, unknowing):
    marked = new.table.drop(columns="group").reset_index(drop=True)
    marked["disease_mask"] = ["m.png", *[""] * (len(marked) - 1)]
    merged = make_cohort(unknowing, check_manifest(marked, new.root), old).manifest
    masks = merged.table["disease_mask"]
    assert masks[masks != ""].to_dict() == {"new0": str(new.root / "m.png")}


def test_the_same_seed_gives_the_same_cohort_and_another_another(new, old, unknowing):
    first, again, other = (make_cohort(unknowing, new, old, seed=seed) for seed in (0, 0, 1))
    assert first.splits["stage2"].digest == again.splits["stage2"].digest != other.splits["stage2"].digest
    assert first.images == other.images


def test_old_cases_of_the_disease_are_not_in_the_old_set(new, tmp_path, unknowing):
    cohort = make_cohort(unknowing, new, manifest_of([*OLD, "covid19"], tmp_path, "old"))
    assert cohort.in_old_set([f"old{len(OLD)}"]).tolist() == [False]


def test_what_the_bundle_learned_from_is_never_held_out(new, old, tmp_path):
    everything = [str(i) for i in old.table.index]
    bundle = bundle_of(
        tmp_path / "bundle",
        stage2={"train": everything[:40], "validation": everything[40:50], "test": everything[50:]},
        lungs={"train": everything[45:50], "test": [*everything[:5]]},
    )
    cohort = make_cohort(bundle, new, old)
    split = cohort.splits["stage2"]
    held = set(split.validation) | set(split.test)
    # Images 45 to 49 have trained stage 1, so they are not held out either.
    assert not held & set(everything[:40] + everything[45:50])
    assert set(everything[50:]) <= set(split.test)
    assert set(everything[40:45]) <= set(split.validation)
    assert cohort.seen == set(everything[:40] + everything[45:50])


def test_an_unknown_image_of_a_patient_who_trained_is_not_held_out(new, tmp_path):
    patients = [f"p{i // 2}" for i in range(len(OLD))]
    old = manifest_of(OLD, tmp_path, "old", patients)
    bundle = bundle_of(tmp_path / "bundle", stage2={"train": [f"old{i}" for i in range(0, len(OLD), 2)]})
    split = make_cohort(bundle, new, old).splits["stage2"]
    assert {i for i in split.train if i.startswith("old")} == set(old.table.index)


def test_a_bundle_without_its_splits_is_refused(new, old, tmp_path):
    bundle = bundle_of(tmp_path / "bundle", stage2={})
    bundle.file("split-stage2.json.gz").unlink()
    with pytest.raises(BundleError, match="lacks split-stage2.json.gz"):
        make_cohort(bundle, new, old)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.lists(st.sampled_from(PARTS), min_size=1)))
def test_training_wins_over_validation_and_that_over_test(tmp_path_factory, places):
    folder = tmp_path_factory.mktemp("known")
    stages: list[dict[str, list[str]]] = [{} for _ in range(max((len(v) for v in places.values()), default=0))]
    for image_id, parts in places.items():
        for stage, part in zip(stages, parts, strict=False):
            stage.setdefault(part, []).append(image_id)
    bundle = bundle_of(folder, **{f"s{index}": stage for index, stage in enumerate(stages)})
    expected = {i: min(parts, key=("train", "validation", "test").index) for i, parts in places.items()}
    assert known_parts(bundle) == expected


def test_fewer_cases_are_a_subset_of_more_and_leave_the_held_out_images_alone(new, old, unknowing):
    cohorts = [make_cohort(unknowing, new, old, cases=cases) for cases in (3, 7, None)]
    learned = [{i for i in c.splits["stage2"].train if i in c.new and c.splits["stage3"].truth[i]} for c in cohorts]
    assert [len(ids) for ids in learned] == [3, 7, 10]
    assert learned[0] < learned[1] < learned[2]
    assert len({c.splits["stage2"].test for c in cohorts}) == 1
    assert len({c.images for c in cohorts}) == 1
    with pytest.raises(ManifestError, match="has 10 to learn from"):
        make_cohort(unknowing, new, old, cases=11)


def test_mistakes_in_the_manifests_are_one_sentence(new, old, tmp_path, unknowing):
    with pytest.raises(ManifestError, match="no image labelled covid19"):
        make_cohort(unknowing, manifest_of(["bacterial"] * 9, tmp_path), old)
    with pytest.raises(ManifestError, match=r"holds 7 patient\(s\) with covid19: at least 8"):
        make_cohort(unknowing, manifest_of(["covid19"] * 7, tmp_path), old)
    few = manifest_of(["covid19"] * 30, tmp_path, patients=[f"p{i % 3}" for i in range(30)])
    with pytest.raises(ManifestError, match=r"holds 3 patient\(s\)"):
        make_cohort(unknowing, few, old)
    with pytest.raises(ManifestError, match=r"^20 image\(s\) are in the new and in the old"):
        make_cohort(unknowing, manifest_of(["covid19"] * 20, tmp_path, "old"), old)
    with pytest.raises(ManifestError, match=r"^20 patient\(s\) have images in the new and in the old") as caught:
        make_cohort(unknowing, manifest_of(["covid19"] * 20, tmp_path, "new"), old)
    assert "p1" not in str(caught.value)


def test_what_cannot_be_learned_or_measured_is_told_before_the_work(new, old, tmp_path, unknowing):
    alone = make_cohort(unknowing, manifest_of(["covid19"] * 20, tmp_path, "new"), None)
    with pytest.raises(ManifestError, match="Stage 3 would learn from images of one class only"):
        check_cohort(alone, "3", with_old=False)
    with pytest.raises(ManifestError, match="validation part of stage 2 has images of one class only"):
        check_cohort(alone, "2", with_old=False)
    cohort = make_cohort(unknowing, new, old)
    with pytest.raises(ManifestError, match=r"90 file\(s\) are not there, the first for new0"):
        check_cohort(cohort, "both", with_old=True)
    for image_id in cohort.images:
        file = cohort.manifest.image_file(image_id)
        file.parent.mkdir(exist_ok=True)
        file.touch()
    check_cohort(cohort, "both", with_old=True)
    kept = bundle_of(tmp_path / "keeping", stage2={"test": [str(i) for i in new.table.index[:20]]})
    with pytest.raises(ManifestError, match="No new image with covid19 is left to learn from"):
        check_cohort(make_cohort(kept, new, old), "both", with_old=True)
