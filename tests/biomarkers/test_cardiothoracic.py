"""The cardiothoracic ratio of constructed masks, its lines, and agreement of two sets of ratios."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.biomarkers.cardiothoracic import Line, cardiothoracic_ratio
from cxrscreen.biomarkers.ratio_agreement import ratio_agreement
from cxrscreen.data.phantoms import make_phantom
from cxrscreen.evaluate.bootstrap import bootstrap_all

INTERVALS = partial(bootstrap_all, replicates=200)


def chest(heart=(40, 70), thorax=(10, 90)):
    """Lungs from ``thorax`` columns at row 30 on, one column narrower above; a heart whose ends lie on two rows."""
    mask = np.zeros((60, 100), np.uint8)
    mask[10:50, thorax[0] + 1 : 35], mask[10:50, 72 : thorax[1] - 1] = 1, 2
    mask[30, thorax[0]] = 1
    mask[30, thorax[1] - 1] = 2
    middle = (heart[0] + heart[1]) // 2
    mask[25:30, heart[0] : middle], mask[30:40, middle - 3 : heart[1]] = 3, 3
    return mask


def test_ratio_and_lines_by_hand():
    measured = cardiothoracic_ratio(chest())
    assert measured is not None
    assert measured.thorax == Line(30, 10, 89)
    assert measured.ratio == 30 / 80
    assert (measured.heart_right.row, measured.heart_right.left) == (27, 40)
    assert (measured.heart_left.row, measured.heart_left.right) == (34, 69)
    assert measured.heart_right.length + measured.heart_left.length == 30
    assert measured.heart_right.right + 1 == measured.heart_left.left
    # The widest single row holds one of the two ends alone.
    assert measured.heart_row.length == 18
    assert measured.one_row_ratio == 18 / 80


def test_crumbs_of_a_mask_do_not_widen_the_heart():
    mask = chest()
    mask[55, 5] = 3
    mask[2, 98] = 2
    assert cardiothoracic_ratio(mask) == cardiothoracic_ratio(chest())


def test_a_heart_given_apart_counts_also_behind_a_lung():
    mask = chest()
    heart = mask == 3
    heart[32, 60:80] = True
    assert cardiothoracic_ratio(mask, heart).ratio == 40 / 80


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_without_an_organ_there_is_no_ratio(lost):
    mask = chest()
    mask[mask == lost] = 0
    assert cardiothoracic_ratio(mask) is None


@given(st.integers(36, 50), st.integers(56, 70), st.integers(1, 3))
def test_ratio_grows_with_the_heart_and_not_with_the_image(first, last, times):
    mask = chest(heart=(first, last))
    ratio = cardiothoracic_ratio(mask).ratio
    assert ratio == pytest.approx((last - first) / 80)
    larger = np.repeat(np.repeat(mask, times, axis=0), times, axis=1)
    assert cardiothoracic_ratio(larger).ratio == pytest.approx(ratio)


def test_the_ratio_of_a_phantom_is_a_persons():
    phantom = make_phantom(4, "normal", shape=(256, 256))
    assert 0.3 < cardiothoracic_ratio(phantom.lungs, phantom.heart).ratio < 0.65


def test_agreement_by_hand():
    reference = {"a": 0.40, "b": 0.50, "c": 0.60}
    groups = {"a": "p", "b": "q", "c": "r"}
    found = ratio_agreement({"a": 0.42, "b": 0.47, "c": None}, reference, groups, INTERVALS)
    assert found.mean_absolute_error.value == pytest.approx(0.025)
    assert found.bias.value == pytest.approx(-0.005)
    assert found.mean_absolute_error.ci_low == pytest.approx(0.02)
    assert found.mean_absolute_error.ci_high == pytest.approx(0.03)
    spread = 1.96 * np.std([0.02, -0.03], ddof=1)
    assert found.limits == pytest.approx((-0.005 - spread, -0.005 + spread))
    assert (found.n, found.without_prediction) == (2, 1)
    with pytest.raises(ValueError, match="no image"):
        ratio_agreement({}, reference, groups, INTERVALS)
