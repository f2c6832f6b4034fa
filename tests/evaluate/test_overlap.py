"""Overlap of masks: hand-computed, by property, empty masks, and the mean over patients."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_erosion, gaussian_filter
from skimage import metrics as reference

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.overlap import (
    DISTANCE_COLUMNS,
    compare_masks,
    dice,
    evaluate_overlaps,
    hausdorff,
    jaccard,
    mean_overlap,
)

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


def test_hausdorff_of_two_boxes_in_pixels_and_millimetres():
    first, second = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    first[4:10, 5:15] = second[4:10, 8:18] = True
    assert hausdorff(first, second) == pytest.approx(3.0)
    assert hausdorff(first, second, (0.2, 0.5)) == pytest.approx(1.5)
    second[15, 25] = True  # One stray pixel moves the maximum, not the 95 %.
    assert hausdorff(first, second) == pytest.approx(np.hypot(6, 11))
    assert hausdorff(first, second, percentile=95) == pytest.approx(3.0)


@settings(max_examples=40)
@given(masks, masks, st.sampled_from([None, (0.5, 0.7)]))
def test_hausdorff_is_symmetric_and_that_of_scikit_image(first, second, spacing):
    assume(first.any() and second.any())
    distance = hausdorff(first, second, spacing)
    assert distance == hausdorff(second, first, spacing) >= hausdorff(first, second, spacing, percentile=95)
    assert hausdorff(first, first, spacing) == 0
    if spacing is None:
        edges = [mask & ~binary_erosion(mask) for mask in (first, second)]
        assert distance == pytest.approx(reference.hausdorff_distance(*edges), abs=1e-9)


def test_hausdorff_equals_monai():
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(0)
    for _ in range(5):
        both = [gaussian_filter(rng.normal(size=(40, 50)), 4) > 0.02 for _ in range(2)]
        tensors = [torch.tensor(mask[None, None]) for mask in both]
        for percentile in (None, 95):
            theirs = monai.compute_hausdorff_distance(*tensors, percentile=percentile, spacing=(0.3, 0.4))
            ours = hausdorff(*both, (0.3, 0.4), percentile=percentile or 100)
            assert ours == pytest.approx(float(theirs), rel=1e-6)


def test_a_mask_that_is_empty_has_no_distance_to_one_that_is_not():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert hausdorff(empty, empty) == 0
    assert np.isnan(hausdorff(empty, full))
    with pytest.raises(ValueError, match="percentile"):
        hausdorff(full, full, percentile=0)
    with pytest.raises(ValueError, match="spacing"):
        hausdorff(full, full, (0.0, 1.0))
    with pytest.raises(ValueError, match="one shape"):
        hausdorff(full, np.ones((3, 4), bool))


def test_all_figures_of_one_image():
    first, second = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    first[:4, :5] = second[2:6, :5] = True
    known = compare_masks(first, second, (0.5, 0.5))
    assert known["dice"] == 0.5
    assert known["hausdorff_mm"] == pytest.approx(known["hausdorff_px"] / 2) == pytest.approx(1.0)
    assert set(known) == {"dice", "jaccard", *DISTANCE_COLUMNS}
    assert np.isnan(compare_masks(first, second)["hausdorff_95_mm"])


def test_distances_are_averaged_over_the_images_that_have_them():
    rows = [("a1", "a", "g1", 0.9, 0.8, 4.0), ("a2", "a", "g2", 0.8, 0.7, 8.0), ("b1", "b", "g3", 0.0, 0.0, np.nan)]
    table = pd.DataFrame(rows, columns=["image_id", "source", "group", "dice", "jaccard", "hausdorff_95_mm"])
    result = evaluate_overlaps(table, replicates=100)
    distance = result.overall.distances["hausdorff_95_mm"]
    assert (distance.value, distance.n) == (6.0, 2)
    assert distance.ci_low < 6 < distance.ci_high
    assert result.sources["b"].distances == {}
