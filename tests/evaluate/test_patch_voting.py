import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.masks import read_lung_mask
from cxrscreen.data.phantoms import write_set
from cxrscreen.errors import BundleError
from cxrscreen.evaluate.patch_voting import (
    class_scores,
    compare_votes,
    mode_agreement,
    organ_overlaps,
    organ_ratios,
    splits_of_bundle,
)
from cxrscreen.evaluate.patch_voting_page import NOT_CONCLUDED, Measured, content_of, write_page
from cxrscreen.evaluate.scores import read_scores
from cxrscreen.imaging.read import read
from cxrscreen.systems.patch_voting.pipeline import Organs
from cxrscreen.systems.patch_voting.voting import CLASSES, Vote, majority_vote, vote_scores


def votes_table(calls, truths, groups=None, sources=None):
    rows = []
    for index, (call, truth) in enumerate(zip(calls, truths, strict=True)):
        counts = np.array([5, 5, 5, 5]) + 80 * (np.arange(4) == call)
        scores = vote_scores(Vote(call, counts, counts / counts.sum()))
        rows.append(
            {
                "image_id": f"i{index}",
                "source": "s" if sources is None else sources[index],
                "group": f"g{index}" if groups is None else groups[index],
                "truth": CLASSES[truth],
                **{f"p_{name}": score for name, score in zip(CLASSES, scores, strict=True)},
            }
        )
    return pd.DataFrame(rows)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_greatest_score_is_the_class_that_won_ties_included(seed, count):
    patches = np.random.default_rng(seed).dirichlet(np.ones(4), count).astype(np.float32)
    vote = majority_vote(patches)
    scores = vote_scores(vote)
    assert scores.argmax() == vote.label
    assert scores.sum() == pytest.approx(1)


TRUTH = [0, 1, 2, 3] * 10


def test_a_difference_is_paired_and_signed():
    worse = votes_table([0] * 40, TRUTH)
    found = compare_votes(worse, votes_table(TRUTH, TRUTH).sample(frac=1, random_state=0), replicates=200)
    # All right against a quarter right; macro F1 1 against (2/5 + 0 + 0 + 0) / 4.
    assert found["accuracy"].value == pytest.approx(0.75)
    assert found["macro f1"].value == pytest.approx(0.9)
    assert found["sensitivity normal"].value == 0
    assert found["sensitivity viral"].value == 1
    assert found["accuracy"].ci_low > 0
    same = compare_votes(worse, worse, replicates=200)
    assert (same["accuracy"].ci_low, same["accuracy"].ci_high) == (0, 0)


def test_lists_of_other_images_are_not_compared():
    first = votes_table(TRUTH, TRUTH)
    for second in (first.iloc[1:], first.assign(truth="normal")):
        with pytest.raises(ValueError, match="same images"):
            compare_votes(first, second)


def test_the_page_has_intervals_the_papers_figures_and_what_must_not_be_concluded(tmp_path):
    rng = np.random.default_rng(0)
    calls = np.where(rng.random(40) < 0.8, TRUTH, rng.integers(0, 4, 40))
    lungs = pd.DataFrame(
        {"image_id": ["a", "b"], "source": "s", "group": ["a", "b"], "dice": 0.9, "jaccard": [0.9, 0.8]}
    )
    exact = pd.DataFrame({"mode": "exact", "agrees": True, "group": range(40), "moved": 0.0, "seconds": 2.0})
    fast = pd.DataFrame({"mode": "early", "agrees": [True] * 39 + [False], "group": range(40), "moved": 0.06})
    modes = pd.concat([exact, fast.assign(seconds=0.5)])
    first, other = votes_table(calls, TRUTH), votes_table([0] * 40, TRUTH)
    ratios = pd.DataFrame({"ratio": [0.5, 0.46, np.nan], "reference": [0.48, 0.5, 0.4], "group": ["a", "b", "c"]})
    measured = Measured("x@1.0.0", "y@1.0.0", "test", first, other, {"lungs": lungs}, modes, ratios)
    page = write_page(tmp_path, measured, replicates=100).read_text(encoding="utf-8")
    content = json.loads((tmp_path / "patch-voting.json").read_text(encoding="utf-8"))
    assert content == content_of(measured, replicates=100)
    assert content["figures"]["jaccard lungs"]["value"] == pytest.approx(0.85)
    assert np.array(content["confusion"]).sum() == 40
    assert "Research use only" in page
    assert "| accuracy | 0." in page
    assert "0.889" in page
    assert "Less y@1.0.0" in page
    assert "| better |" in page
    assert content["modes"]["early"]["agrees"]["value"] == pytest.approx(39 / 40)
    assert content["figures"]["ratio error"]["value"] == pytest.approx(0.03)
    assert content["figures"]["ratio error"]["n"] == 2
    assert "Cardiothoracic ratio, mean absolute error" in page
    assert "| exact | 1.000 " in page
    assert "| 6.0% | 0.50 |" in page
    assert all(text in page for text in NOT_CONCLUDED)
    # Where no heart was found there is no ratio to be wrong.
    lost = dataclasses.replace(measured, ratios=ratios.assign(ratio=np.nan))
    assert content_of(lost, replicates=100)["figures"]["ratio error"]["value"] is None
    write_page(tmp_path, lost, replicates=100)
    # What was written is a list that `cxrscreen metrics` reads.
    assert set(read_scores(tmp_path / "classes.csv").classes) == set(CLASSES)


class Perfect:
    """Segments by the reference masks and votes for the class it is told."""

    def __init__(self, masks, label):
        self.masks, self.label = iter(masks), label

    modes = ("exact", "shared")

    def vote(self, radiograph, mode=None):
        label = (self.label + 1) % 4 if mode == "shared" else self.label
        counts = np.full(4, 10) + 60 * (np.arange(4) == label)
        return Vote(label, counts, counts / counts.sum())

    def segment(self, radiograph):
        mask = next(self.masks)
        return Organs(np.stack([(mask == organ).astype(np.float32) for organ in range(4)]), mask)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, 3, seed=4, size=152, dicom_every=0)
    return load_manifest(folder)


@pytest.mark.parametrize("organ", ["lungs", "heart"])
def test_perfect_organs_overlap_fully_and_missing_ones_do_not(data, organ):
    ids = [str(i) for i in data.table.index]
    masks = [read_lung_mask(data.mask_file(i)).copy() for i in ids]
    steps = []
    table = organ_overlaps(Perfect(masks, 0), data, ids, organ, read, lambda: steps.append(1))
    assert table["jaccard"].min() > 0.98
    assert len(steps) == len(ids)
    without = [np.where(np.isin(mask, (1, 2) if organ == "lungs" else 3), 0, mask).astype(np.uint8) for mask in masks]
    assert organ_overlaps(Perfect(without, 0), data, ids, organ, read, lambda: None)["jaccard"].max() == 0


def test_the_cardiothoracic_ratio_is_compared_with_that_of_the_reference(data):
    ids = [str(i) for i in data.table.index]
    masks = [read_lung_mask(data.mask_file(i)).copy() for i in ids]
    same = organ_ratios(Perfect(masks, 0), data, ids, read, lambda: None)
    np.testing.assert_allclose(same["ratio"], same["reference"], atol=0.01)
    assert same["reference"].between(0.2, 0.8).all()
    without = [np.where(mask == 3, 0, mask).astype(np.uint8) for mask in masks]
    lost = organ_ratios(Perfect(without, 0), data, ids, read, lambda: None)
    assert lost["ratio"].isna().all()
    assert lost["reference"].notna().all()


def test_scores_carry_source_group_and_truth(data):
    ids = [str(i) for i in data.table.index]
    table = class_scores(Perfect([], 3), data, ids, dict.fromkeys(ids, 3), read, lambda: None)
    assert list(table["truth"]) == ["viral"] * 3
    assert list(table["group"]) == list(data.table["group"])
    assert (table["p_viral"] > 0.6).all()


def test_every_mode_is_compared_with_the_reference(data):
    ids = [str(i) for i in data.table.index]
    table = mode_agreement(Perfect([], 1), data, ids, read, lambda: None)
    assert list(table["image_id"]) == [image_id for image_id in ids for _ in range(2)]
    by_mode = table.groupby("mode")
    assert by_mode["agrees"].all().to_dict() == {"exact": True, "shared": False}
    # 60 of 100 votes go from one class to another.
    assert by_mode["moved"].max().to_dict() == pytest.approx({"exact": 0.0, "shared": 0.6})
    assert (table["seconds"] >= 0).all()


def test_another_systems_bundle_is_refused(data):
    from cxrscreen.systems.bundle import open_bundle

    with pytest.raises(BundleError, match="give a patch_voting bundle"):
        splits_of_bundle(open_bundle("cascade"), data)
