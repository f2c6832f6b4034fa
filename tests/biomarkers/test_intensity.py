"""Grey values of lungs and patches against plain computation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.biomarkers.intensity import PATCH_SHARE, patch_intensity, region_intensity


def scene(seed=0, shape=(40, 48)):
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[5:35, 4:20], mask[5:35, 28:44], mask[20:30, 20:28] = 1, 2, 3
    return rng.random(shape, np.float32), mask


def test_mean_and_spread_of_a_region():
    pixels = np.array([[0.0, 0.2], [0.4, 1.0]], np.float32)
    grey = region_intensity(pixels, np.array([[True, True], [True, False]]))
    assert grey.mean == pytest.approx(0.2)
    assert grey.std == pytest.approx(np.std([0.0, 0.2, 0.4]))
    assert region_intensity(pixels, np.zeros((2, 2), bool)) is None
    with pytest.raises(ValueError, match="one shape"):
        region_intensity(pixels, np.zeros((2, 3), bool))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 15))
def test_patches_are_what_cutting_them_out_gives(seed, side):
    pixels, mask = scene(seed)
    found = patch_intensity(pixels, mask, np.random.default_rng(seed), count=12, side=side)
    lungs = np.isin(mask, (1, 2))
    centres = np.random.default_rng(seed).choice(np.flatnonzero(lungs), size=12)
    for place, mean, std in zip(centres, found.means, found.stds, strict=True):
        row, column = divmod(int(place), mask.shape[1])
        rows = slice(max(row - side // 2, 0), row - side // 2 + side)
        columns = slice(max(column - side // 2, 0), column - side // 2 + side)
        values = pixels[rows, columns][lungs[rows, columns]].astype(np.float64)
        assert mean == pytest.approx(values.mean(), abs=1e-6)
        assert std == pytest.approx(values.std(), abs=1e-5)
    assert found.inter_mean == pytest.approx(found.means.mean())
    assert found.inter_std == pytest.approx(found.means.std())
    assert found.intra_std == pytest.approx(found.stds.mean())


def test_what_lies_outside_the_lungs_does_not_count():
    pixels, mask = scene()
    first = patch_intensity(pixels, mask, np.random.default_rng(1))
    changed = np.where(np.isin(mask, (1, 2)), pixels, 1.0).astype(np.float32)
    second = patch_intensity(changed, mask, np.random.default_rng(1))
    np.testing.assert_allclose(first.means, second.means)
    np.testing.assert_allclose(first.stds, second.stds)


def test_between_and_within_are_told_apart():
    _, mask = scene()
    # One lung dark, one bright: the patches differ, each is even.
    halves = np.where(mask == 2, 0.8, 0.2).astype(np.float32)
    found = patch_intensity(halves, mask, np.random.default_rng(0), side=3)
    assert found.inter_std == pytest.approx(0.3, abs=0.02)
    assert found.intra_std == pytest.approx(0.0, abs=1e-6)
    # A fine pattern: the patches are alike, each is uneven.
    board = (np.indices(mask.shape).sum(axis=0) % 2).astype(np.float32)
    found = patch_intensity(board, mask, np.random.default_rng(0), side=8)
    assert found.inter_std < 0.05
    assert found.intra_std == pytest.approx(0.5, abs=0.01)


def test_the_side_of_a_patch_is_the_papers_share():
    assert round(PATCH_SHARE * 256) == 56
    assert patch_intensity(*scene()[:1], np.zeros((40, 48), np.uint8), np.random.default_rng(0)) is None
