"""Form of constructed lungs."""

import numpy as np
import pytest

from cxrscreen.biomarkers.morphology import largest_piece, lung_shape


def disc(mask, row, column, radius, value):
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    mask[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = value


def test_discs_are_as_regular_as_can_be():
    mask = np.zeros((400, 400), np.uint8)
    disc(mask, 200, 100, 80, 1)
    disc(mask, 200, 300, 40, 2)
    shape = lung_shape(mask)
    assert shape.right_area == pytest.approx(np.pi * 80**2 / 400**2, rel=0.01)
    assert shape.left_area == pytest.approx(shape.right_area / 4, rel=0.01)
    # A digital outline is up to 8 % longer than the circle it follows.
    assert 1.0 < shape.irregularity < 1.08
    assert shape.solidity > 0.97
    assert shape.contour_length == pytest.approx(2 * np.pi * 120 / 400, rel=0.08)


def test_rectangle_and_notch_by_hand():
    mask = np.zeros((100, 100), np.uint8)
    # The polygon through the centres of 41 x 21 pixels is 40 x 20.
    mask[10:51, 10:31] = 1
    shape = lung_shape(mask)
    assert shape.contour_length == pytest.approx(120 / 100)
    assert shape.irregularity == pytest.approx(120 / (2 * np.sqrt(np.pi * 800)))
    assert shape.solidity == pytest.approx(1.0)
    whole = shape.irregularity
    mask[25:36, 20:31] = 0
    notched = lung_shape(mask)
    assert notched.solidity < 0.9
    assert notched.irregularity > whole
    assert notched.left_area == 0.0


def test_no_lung_has_an_area_of_zero_and_no_outline():
    shape = lung_shape(np.full((9, 9), 3, np.uint8))
    assert (shape.right_area, shape.left_area) == (0.0, 0.0)
    assert shape.contour_length is shape.irregularity is shape.solidity is None
    single = np.zeros((9, 9), np.uint8)
    single[4, 4] = 1
    assert lung_shape(single).irregularity is None


def test_crumbs_do_not_move_the_outline():
    mask = np.zeros((60, 60), np.uint8)
    mask[10:40, 5:25] = 2
    clean = lung_shape(mask)
    mask[55, 55] = mask[50, 3] = 2
    assert lung_shape(mask).irregularity == clean.irregularity
    piece = largest_piece(mask == 2)
    assert piece.sum() == 600
    assert not largest_piece(np.zeros((4, 4), bool)).any()
