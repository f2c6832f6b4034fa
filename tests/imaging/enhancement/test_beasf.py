import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cxrscreen.imaging.enhancement.beasf import beasf, beasf_table, published_table
from cxrscreen.imaging.enhancement.levels import from_levels, histogram_of, to_levels

PICTURES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)))
SLOPES = st.floats(0.1, 8)


def test_a_histogram_by_hand():
    # Four pixels: levels 0, 100, 100, 200. Mean 100; below it (0 to 100) the median level is 100, since one of three
    # pixels is no more than half; above it (100 to 200) two of three are at 100, so 100 again.
    table = beasf_table(histogram_of(np.array([[0, 100], [100, 200]], np.uint8)), 1.5)
    sigmoid = lambda x: 1 / (1 + np.exp(-1.5 * x))  # noqa: E731
    low = (sigmoid(5 * (50 - 100) / 100) - sigmoid(-5)) / (sigmoid(0) - sigmoid(-5))
    high = (sigmoid(5 * (200 - 100) / 155) - sigmoid(0)) / (sigmoid(5) - sigmoid(0))
    assert table[50] == pytest.approx(100 * low)
    assert table[200] == pytest.approx(100 + 155 * high)
    assert table[[0, 100, 255]] == pytest.approx([0, 100, 255])


@given(PICTURES, SLOPES)
def test_order_black_white_and_mean_are_kept(picture, gamma):
    table = beasf_table(histogram_of(picture), gamma)
    assert (np.diff(table) >= -1e-9).all()
    mean = int(picture.mean())
    assert table[[0, mean, 255]] == pytest.approx([0, mean, 255])
    result = beasf(from_levels(picture), gamma)
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1


@given(PICTURES, SLOPES)
def test_the_published_code_never_stops(picture, gamma):
    table = published_table(picture, gamma)
    assert np.isfinite(table).all()
    assert table.min() >= 0
    assert table.max() <= 255


@pytest.mark.parametrize(
    ("picture", "levels"),
    [
        # The bins are those of the levels: mean 113, medians 60 and 200.
        (
            [[0, 30, 60, 90], [120, 150, 200, 255]],
            {0: 0, 30: 11, 60: 57, 90: 102, 113: 113, 114: 113, 120: 114, 150: 121, 200: 187, 255: 255},
        ),
        # Bins of the range 40 to 200, read as levels: mean 86, medians 32 and 255 in place of 40 and 100.
        (
            [[40, 40, 60], [80, 100, 200]],
            {0: 0, 20: 19, 40: 56, 60: 79, 80: 84, 86: 86, 87: 86, 120: 86, 150: 88, 200: 112, 230: 168, 255: 255},
        ),
    ],
)
def test_the_published_code_by_hand(picture, levels):
    """What the authors' BEASF.py maps these levels to, slope 1.5."""
    table = published_table(np.array(picture, np.uint8), 1.5)
    assert {level: table[level] for level in levels} == levels


def test_the_published_code_agrees_where_the_image_fills_the_scale():
    rng = np.random.default_rng(0)
    picture = np.clip(rng.normal(120, 60, (64, 64)), 0, 255).astype(np.uint8)
    picture[0, :2] = 0, 255
    ours, theirs = beasf_table(histogram_of(picture), 1.5), published_table(picture, 1.5)
    # An upper half that begins a level late, with a slope of at most 2, and two cuts to whole numbers.
    assert np.abs(ours - theirs).max() <= 6
    narrow = np.asarray(60 + picture.astype(int) * 120 // 255, np.uint8)
    assert np.abs(beasf_table(histogram_of(narrow), 1.5) - published_table(narrow, 1.5)).max() > 6


@pytest.mark.parametrize("level", [0, 100, 255])
def test_an_even_image_stays_even(level):
    picture = from_levels(np.full((5, 5), level, np.uint8))
    np.testing.assert_allclose(beasf(picture), picture, atol=1e-6)
    np.testing.assert_allclose(beasf(picture, as_published=True), picture, atol=1e-6)


def test_a_larger_slope_spreads_what_lies_about_the_medians():
    picture = from_levels(np.clip(np.random.default_rng(1).normal(128, 30, (64, 64)), 0, 255).astype(np.uint8))
    spreads = [beasf(picture, gamma)[(picture > 0.35) & (picture < 0.45)].std() for gamma in (0.5, 1.5, 3.0)]
    assert spreads == sorted(spreads)
    for impossible in (0, 1e-20, np.nan, np.inf):
        with pytest.raises(ValueError, match="gamma must be from 0.01 to 100"):
            beasf(picture, impossible)
    for slope in (0.01, 100.0):
        table = beasf_table(histogram_of(to_levels(picture)), slope)
        assert (np.diff(table) >= -1e-9).all()
