"""Overlap of masks: hand-computed, by property, empty masks, and the mean over patients."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.overlap import dice, evaluate_overlaps, jaccard, mean_overlap

masks = hnp.arrays(np.bool_, (5, 6))


def test_overlap_of_two_boxes():
    first, second = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    first[:4, :5] = second[2:6, :5] = True
    assert dice(first, second) == pytest.approx(20 / 40)
    assert jaccard(first, second) == pytest.approx(10 / 30)


@given(masks, masks)
def test_overlap_is_symmetric_bounded_and_of_one_order(first, second):
    assert dice(first, second) == dice(second, first)
    assert jaccard(first, second) == jaccard(second, first)
    assert 0 <= jaccard(first, second) <= dice(first, second) <= 1
    assert dice(first, second) == pytest.approx(2 * jaccard(first, second) / (1 + jaccard(first, second)))
    assert dice(first, first) == jaccard(first, first) == 1


def test_empty_masks_are_defined():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert dice(empty, empty) == jaccard(empty, empty) == 1
    assert dice(empty, full) == jaccard(empty, full) == 0


def test_overlap_refuses_other_shapes_and_index_masks():
    with pytest.raises(ValueError, match="one shape"):
        dice(np.zeros((2, 2), bool), np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="must be bool"):
        jaccard(np.zeros((2, 2), np.uint8), np.zeros((2, 2), bool))


def test_mean_overlap_has_an_interval_by_patient():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.uniform(0.8, 1.0, 30), 4)
    by_patient = mean_overlap(values, [str(i) for i in np.repeat(np.arange(30), 4)])
    by_image = mean_overlap(values, [str(i) for i in range(120)])
    assert by_patient.value == pytest.approx(values.mean())
    assert by_patient.ci_high - by_patient.ci_low > 1.6 * (by_image.ci_high - by_image.ci_low)


@pytest.mark.parametrize("values", [[], [1.2], [np.nan]])
def test_mean_overlap_refuses_what_is_no_overlap(values):
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        mean_overlap(values, ["a"] * len(values))


def test_overlaps_by_source():
    rows = [("a1", "a", "g1", 0.9, 0.8), ("a2", "a", "g2", 0.8, 0.7), ("b1", "b", "g3", 0.5, 0.4)]
    table = pd.DataFrame(rows, columns=["image_id", "source", "group", "dice", "jaccard"])
    result = evaluate_overlaps(table, replicates=100)
    assert result.overall.dice.value == pytest.approx(2.2 / 3)
    assert result.sources["a"].dice.value == pytest.approx(0.85)
    assert result.sources["b"].jaccard.value == pytest.approx(0.4)
    assert result.overall.dice_minimum == 0.5
    with pytest.raises(ManifestError, match="lack the column\\(s\\) group, dice"):
        evaluate_overlaps(table.drop(columns=["group", "dice"]))
    with pytest.raises(ManifestError, match="no row"):
        evaluate_overlaps(table.iloc[:0])
