import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.systems.patch_voting.patches import corners_of, cut_patches, draw_centres, image_seed, in_batches


def lungs(side=64):
    mask = np.zeros((side, side), bool)
    mask[10:50, 8:24] = mask[12:52, 40:56] = True
    return mask


@given(st.integers(0, 2**63 - 1))
def test_every_centre_lies_in_the_lungs(seed):
    mask = lungs()
    centres = draw_centres(mask, 50, seed)
    assert mask[centres[:, 0], centres[:, 1]].all()


def test_rows_and_columns_are_drawn_together():
    # On a diagonal, independent rows and columns would leave it.
    mask = np.eye(40, dtype=bool)
    centres = draw_centres(mask, 30, 0)
    np.testing.assert_array_equal(centres[:, 0], centres[:, 1])


def test_all_of_the_lungs_is_drawn_evenly():
    mask = lungs()
    centres = draw_centres(mask, 20_000, 1)
    assert (centres[:, 1] < 32).mean() == pytest.approx(mask[:, :32].sum() / mask.sum(), abs=0.02)
    assert len(np.unique(centres, axis=0)) > 0.99 * mask.sum()


def test_the_draw_is_seeded_and_more_patches_keep_the_first():
    mask = lungs()
    np.testing.assert_array_equal(draw_centres(mask, 100, 7)[:10], draw_centres(mask, 10, 7))
    assert (draw_centres(mask, 10, 7) != draw_centres(mask, 10, 8)).any()


def test_a_mask_that_differs_a_little_moves_centres_a_little():
    mask, other = lungs(), lungs()
    other[10, 8] = False
    moved = np.abs(draw_centres(mask, 100, 3) - draw_centres(other, 100, 3)).max(axis=1)
    assert (moved <= 1).mean() > 0.9


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="not empty"):
        draw_centres(np.zeros((4, 4), bool), 1, 0)


def test_an_images_seed_follows_its_content():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert image_seed(image, 0) == image_seed(image.copy(), 0)
    assert len({image_seed(image, 0), image_seed(image, 1), image_seed(image.T, 0), image_seed(image[::-1], 0)}) == 4
    assert image_seed(image, 0) != image_seed(image.reshape(2, 8), 0)
    assert 0 <= image_seed(image, 0) < 2**63


def test_patches_are_padded_and_never_stretched():
    image = np.arange(9, dtype=np.float32).reshape(3, 3)
    corners = corners_of(np.array([[0, 0], [1, 1], [2, 2]]), 2)
    np.testing.assert_array_equal(corners, [[-1, -1], [0, 0], [1, 1]])
    found = cut_patches(image, corners, 2, -1)
    np.testing.assert_array_equal(found, [[[-1, -1], [-1, 0]], [[0, 1], [3, 4]], [[4, 5], [7, 8]]])


def test_the_whole_image_is_a_patch_too():
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(cut_patches(image, corners_of(np.array([[2, 2]]), 4), 4, -1)[0], image)


@given(st.integers(1, 20), st.integers(1, 25))
def test_batches_hold_all_patches_in_order(count, size):
    patches = np.arange(count, dtype=np.float32)
    batches = list(in_batches(patches, size))
    np.testing.assert_array_equal(np.concatenate(batches), patches)
    assert all(len(batch) <= size for batch in batches)
