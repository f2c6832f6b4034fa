"""Edits take away what they say and leave the rest as it was."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.evaluate.audit.burn_in import MARKS
from cxrscreen.evaluate.audit.interventions import (
    black_lungs,
    borders_only,
    corners,
    corners_only,
    erase_corners,
    erase_marks,
    grown,
    inpainted,
    lungs_only,
    marks,
    outline_only,
)
from cxrscreen.evaluate.audit.occlusion import occluded

EDITS = (
    black_lungs,
    lungs_only,
    outline_only,
    borders_only,
    corners_only,
    erase_corners,
    erase_marks,
    partial(occluded, cell=10),
    *(mark.draw for mark in MARKS),
)


@pytest.fixture
def pixels():
    return np.full((64, 64), 0.6, np.float32)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(40, 120), columns=st.integers(40, 120), seed=st.integers(0, 99), empty=st.booleans())
def test_every_edit_gives_pixels_a_radiograph_may_hold_and_leaves_its_input_alone(rows, columns, seed, empty):
    rng = np.random.default_rng(seed)
    pixels = rng.random((rows, columns), dtype=np.float32)
    lungs = np.zeros((rows, columns), np.bool_)
    if not empty:
        lungs[rows // 4 : rows // 2, columns // 3 : columns // 2] = True
    before = pixels.copy()
    pixels.flags.writeable = False
    for edit in EDITS:
        after = edit(pixels, lungs)
        assert after.dtype == np.float32
        assert after.shape == pixels.shape
        assert 0 <= after.min() <= after.max() <= 1
    assert (pixels == before).all()


def test_black_lungs_and_lungs_only_are_each_others_rest(pixels, lungs):
    black, alone = black_lungs(pixels, lungs), lungs_only(pixels, lungs)
    assert (black[lungs] == 0).all()
    assert (alone[lungs] == pixels[lungs]).all()
    assert (black + alone == pixels).all()
    assert black[0, 0] == pixels[0, 0]
    # 3 % of 64 pixels: the mask grows by two.
    assert black[18 - 2, 20] == 0
    assert black[18 - 3, 20] == pixels[15, 20]


def test_the_outline_holds_no_grey_value_of_the_image(lungs):
    rng = np.random.default_rng(0)
    first, second = (outline_only(rng.random((64, 64), dtype=np.float32), lungs) for _ in range(2))
    assert (first == second).all()
    assert first[lungs].max() < first[~lungs].min()


def test_borders_and_corners_hold_no_lung(pixels):
    lungs = np.zeros((64, 64), np.bool_)
    lungs[:40, :20] = True
    for edit in (borders_only, corners_only):
        kept = edit(pixels, lungs) > 0
        assert kept.any()
        assert not (kept & grown(lungs)).any()
        assert not kept[32, 32]
    assert borders_only(pixels, lungs)[32, 63] > 0
    assert corners_only(pixels, lungs)[32, 63] == 0
    assert corners((64, 64)).sum() == 4 * 12 * 12


def test_a_burned_in_letter_is_found_and_painted_over():
    pixels = np.tile(np.linspace(0.2, 0.7, 240, dtype=np.float32), (240, 1))
    lungs = np.zeros((240, 240), np.bool_)
    lungs[80:180, 40:100] = lungs[80:180, 130:200] = True
    marked = MARKS[0].draw(pixels, lungs)
    letter = marked > 0.9
    found = marks(marked, lungs)
    assert letter.any()
    assert (found & letter).sum() >= 0.9 * letter.sum()
    assert found.sum() < 0.05 * found.size
    erased = erase_marks(marked, lungs)
    assert np.abs(erased - pixels)[letter].max() < 0.15
    assert (erased[~found] == marked[~found]).all()


def test_bright_lungs_and_large_structures_are_no_marks(pixels, lungs):
    bright = pixels.copy()
    bright[lungs] = 1.0
    bright[:, 60:] = 1.0
    assert not marks(bright, lungs).any()


def test_erased_corners_are_painted_from_their_surroundings(pixels, lungs):
    marked = pixels.copy()
    marked[:6, :6] = 1.0
    erased = erase_corners(marked, lungs)
    assert np.abs(erased - pixels).max() < 0.02
    assert inpainted(pixels, np.zeros((64, 64), np.bool_)) is pixels


def test_an_occluded_cell_takes_the_median(lungs):
    pixels = np.linspace(0, 1, 70 * 70, dtype=np.float32).reshape(70, 70)
    covered = occluded(pixels, lungs, cell=8)
    assert (covered[10:20, 10:20] == np.median(pixels)).all()
    assert (covered != pixels).sum() == 100
