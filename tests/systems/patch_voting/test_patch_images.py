import numpy as np
import pytest
import torch

from cxrscreen.systems.patch_voting.patch_images import ImageTable, JudgedPatches, LearnedPatches
from cxrscreen.systems.patch_voting.patches import corners_of
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing
from cxrscreen.systems.patch_voting.views import centres_of, lungs_of_patch_image, patch_views, region_of
from cxrscreen.train.augment import AugmentSettings
from cxrscreen.train.classifier import STILL

LOCAL = {
    "approach": "local",
    "shown": "masked",
    "gamma": 0.5,
    "working_side": None,
    "image_side": 96,
    "patch": 32,
    "patches": 20,
    "seed": 0,
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    arrays = np.zeros((2, 2, 96, 96), np.uint8)
    arrays[:, 0] = rng.integers(1, 256, (2, 96, 96))
    arrays[0, 1, 10:80, 10:40] = arrays[0, 1, 10:80, 56:86] = 1
    arrays[1, 1, 40:60, 40:60] = 1
    return ImageTable(arrays, {"a": 0, "b": 1})


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("approach", ["local", "global"])
def test_a_still_training_patch_is_one_that_screening_would_cut(table, side, approach):
    settings = Preprocessing(**LOCAL | {"approach": approach})
    learned = LearnedPatches(table, ["a", "b"], [0, 3], settings, side, STILL)
    patch, label = learned[1, 5]
    assert patch.shape == (1, side, side)
    assert label.item() == 3
    if approach == "global":
        expected = patch_views(table.image("b"), table.lungs("b"), np.zeros((1, 2), np.int64), settings, side)[0]
        # Training filters behind the resizing of grey values and mask, as screening does.
        np.testing.assert_allclose(patch, expected, atol=0.15)
    else:
        all_places = np.argwhere(table.lungs("b"))
        views = patch_views(table.image("b"), table.lungs("b"), corners_of(all_places, 32), settings, side)
        # Where a patch is enlarged, training knows what lies behind its border.
        inside = np.s_[..., 2:-2, 2:-2]
        assert np.abs(views[inside] - patch.numpy()[inside]).max(axis=(1, 2, 3)).min() < 0.02


def test_patches_vary_with_the_seed_alone(table):
    learned = LearnedPatches(table, ["a"], [1], Preprocessing(**LOCAL), 32, AugmentSettings())
    first, again, other = learned[0, 1][0], learned[0, 1][0], learned[0, 2][0]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= -1
    assert first.max() <= 3


def test_judged_patches_are_the_first_that_screening_cuts(table):
    settings = Preprocessing(**LOCAL)
    judged = JudgedPatches(table, ["a", "b"], settings, 32, 3)
    assert len(judged) == 6
    image, lungs = table.image("b"), table.lungs("b")
    corners = corners_of(centres_of(image, lungs, settings), 32)
    views = patch_views(image, lungs, corners, settings, 32)
    for place in range(3):
        patch, number = judged[3 + place]
        assert number.item() == 1
        np.testing.assert_array_equal(patch, views[place])
    assert len(JudgedPatches(table, ["a", "b"], Preprocessing(**LOCAL | {"approach": "global"}), 32, 3)) == 2


def test_without_a_mask_patches_lie_anywhere(table):
    settings = Preprocessing(**LOCAL | {"shown": "whole"})
    assert region_of(table.lungs("b"), settings).all()
    centres = centres_of(table.image("b"), table.lungs("b"), settings)
    assert not table.lungs("b")[centres[:, 0], centres[:, 1]].all()


def test_where_no_lungs_are_found_the_whole_image_stands_in():
    probabilities = np.zeros((4, 32, 32), np.float32)
    probabilities[0] = 1
    lungs, trusted = lungs_of_patch_image(np.zeros((32, 32), np.uint8), probabilities, 96)
    assert not trusted
    assert lungs.shape == (96, 96)
    assert lungs.all()
