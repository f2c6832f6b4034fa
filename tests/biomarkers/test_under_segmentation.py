"""Quarters of lungs taken away, and found."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.biomarkers.under_segmentation import (
    PLACES,
    QUARTER,
    Symmetry,
    fit_symmetry,
    is_under_segmented,
    missed_share,
    missing_share,
    without_part,
)

AREA = st.floats(1e-3, 1e3)


def lungs():
    mask = np.zeros((40, 60), np.uint8)
    mask[4:36, 5:25], mask[4:36, 35:55] = 1, 2
    return mask


@pytest.mark.parametrize("lung", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_a_quarter_is_taken_from_one_lung_at_its_place(lung, place):
    mask = lungs()
    rest = without_part(mask, lung, place)
    assert (rest == lung).sum() == 0.75 * (mask == lung).sum()
    assert ((rest == 3 - lung) == (mask == 3 - lung)).all()
    assert ((rest == mask) | (rest == 0)).all()
    rows, columns = np.nonzero((mask == lung) & (rest == 0))
    if place in ("base", "apex"):
        assert rows.min() == 28 if place == "base" else rows.max() == 11
    else:
        # The right lung lies at the viewer's left, so its lateral side has the small columns.
        at_viewers_left = (lung == 1) == (place == "lateral")
        first = 5 if lung == 1 else 35
        assert set(columns) == set(range(first, first + 5) if at_viewers_left else range(first + 15, first + 20))


def test_missed_share_by_hand():
    reference, mask = lungs(), lungs()
    assert missed_share(mask, reference) == 0.0
    mask[4:36, 5:25] = 3
    assert missed_share(mask, reference) == 0.5
    # What is too much is not missed.
    assert missed_share(np.ones_like(mask), reference) == 0.0
    with pytest.raises(ValueError, match="one shape"):
        missed_share(mask[:-1], reference)
    with pytest.raises(ValueError, match="no lung"):
        missed_share(mask, np.zeros_like(mask))


def test_missing_share_by_hand():
    symmetry = Symmetry(math.log(0.8), 0.2)
    assert missing_share(100, 80, symmetry) == pytest.approx(0.0)
    assert missing_share(100, 60, symmetry) == pytest.approx(0.25)
    assert missing_share(75, 80, symmetry) == pytest.approx(0.25)
    assert missing_share(0, 80, symmetry) == 1.0
    assert is_under_segmented(100, 60, symmetry)
    assert not is_under_segmented(100, 70, symmetry)


@given(AREA, AREA, st.floats(0.01, 100), st.floats(-0.5, 0.5))
def test_missing_share_knows_no_unit_and_no_side(right, left, unit, log_ratio):
    symmetry = Symmetry(log_ratio, 0.2)
    share = missing_share(right, left, symmetry)
    assert 0.0 <= share <= 1.0
    assert missing_share(right * unit, left * unit, symmetry) == pytest.approx(share, abs=1e-9)
    assert missing_share(left, right, Symmetry(-log_ratio, 0.2)) == pytest.approx(share, abs=1e-9)


def test_symmetry_is_learned_from_complete_lungs():
    rng = np.random.default_rng(0)
    right = rng.uniform(0.8, 1.2, 300)
    areas = list(zip(right, right * 0.85 * np.exp(rng.normal(0, 0.04, 300)), strict=True))
    symmetry = fit_symmetry(areas)
    assert symmetry.log_ratio == pytest.approx(math.log(0.85), abs=0.01)
    assert 0.08 < symmetry.threshold < QUARTER
    wrong = [is_under_segmented(*pair, symmetry) for pair in areas]
    found = [is_under_segmented(a * 0.75, b, symmetry) for a, b in areas]
    assert np.mean(wrong) < 0.03
    assert np.mean(found) > 0.97
    for bad in ([], [(0.0, 1.0)]):
        with pytest.raises(ValueError, match="positive areas"):
            fit_symmetry(bad)
