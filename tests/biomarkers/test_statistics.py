"""Tests between samples, against known values, and the weighted figures, against plain computation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from cxrscreen.biomarkers.intervals import weighted_mean, weighted_std, weighted_superiority
from cxrscreen.biomarkers.paper import CLASSES, PRINTED
from cxrscreen.biomarkers.statistics import holm, kolmogorov_smirnov, normality, rank_sum, stars
from cxrscreen.evaluate.metrics import auc

SAMPLE = st.lists(st.floats(-5, 5), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("p_value", "mark"),
    [(0.0009, "***"), (0.001, "**"), (0.0099, "**"), (0.01, "*"), (0.05, "-"), (None, ""), (float("nan"), "")],
)
def test_stars(p_value, mark):
    assert stars(p_value) == mark


def test_rank_sum_of_small_samples_is_exact():
    # Two of the 20 ways to choose three of six ranks are as far apart as these.
    assert rank_sum([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert rank_sum([1, 2, 3], [1, 2, 3]) == 1.0


def test_kolmogorov_smirnov_sees_a_spread_that_the_rank_sum_does_not():
    even = norm.ppf((np.arange(150) + 0.5) / 150)
    narrow, wide = 0.3 * even, 3 * even
    assert rank_sum(narrow, wide) > 0.05
    distance, p_value = kolmogorov_smirnov(narrow, wide)
    assert distance > 0.3
    assert p_value < 0.001
    assert kolmogorov_smirnov([1, 2], [3, 4])[0] == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_normality():
    even = norm.ppf((np.arange(80) + 0.5) / 80)
    assert normality(even) > 0.5
    assert normality(np.exp(2 * even)) < 0.01
    assert normality(even) == normality(even)
    assert normality([1.0, 2.0, 3.0]) is normality([1.0] * 9) is None


@given(SAMPLE, st.data())
def test_weights_are_copies(values, data):
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    drawn = np.repeat(values, counts)
    weights = np.array([counts], np.float64)
    if drawn.size:
        assert weighted_mean(np.array(values), weights)[0] == pytest.approx(drawn.mean(), abs=1e-9)
    if drawn.size > 1:
        assert weighted_std(np.array(values), weights)[0] == pytest.approx(drawn.std(ddof=1), abs=1e-6)
    else:
        assert np.isnan(weighted_std(np.array(values), weights)[0])


@given(SAMPLE, SAMPLE)
def test_superiority_is_the_area_under_the_curve(first, second):
    weights = np.ones((1, len(first) + len(second)))
    chance = weighted_superiority(np.array(first), np.array(second), weights)[0]
    assert chance == pytest.approx(auc([1] * len(first) + [0] * len(second), [*first, *second]))
    other = weighted_superiority(np.array(second), np.array(first), weights)[0]
    assert chance + other == pytest.approx(1.0)


def test_superiority_with_weights_by_hand():
    weights = np.array([[2.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    chance = weighted_superiority(np.array([3.0, 1.0]), np.array([2.0, 9.0]), weights)
    assert chance[0] == pytest.approx(2 / 3)
    assert np.isnan(chance[1])


def test_the_printed_tables_are_whole():
    assert [table.number for table in PRINTED] == ["VI", "VII", "VIII", "IX"]
    for table in PRINTED:
        assert tuple(table.mean) == tuple(table.std) == CLASSES
        assert len(table.stars) == 10
        assert set(table.stars.values()) <= {"-", "*", "**", "***"}
    by_name = {table.name: table for table in PRINTED}
    assert by_name["table6"].mean["covid19"] == 0.506
    assert by_name["table6"].stars["tuberculosis", "viral"] == "-"
    assert by_name["table8"].stars["bacterial", "viral"] == "**"
    assert by_name["table9"].stars["tuberculosis", "covid19"] == "***"
    assert [table.without_supine for table in PRINTED] == [False, False, True, False]
