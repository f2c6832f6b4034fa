import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from cxrscreen.evaluate.overlap import jaccard
from cxrscreen.evaluate.region_overlap import PixelCounts, count_pixels, region_figures

MASK = arrays(bool, (5, 4))


def test_pixels_are_counted_by_hand():
    reference, predicted = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    reference[:2], predicted[1:3] = True, True
    assert count_pixels(predicted, reference) == PixelCounts(4, 4, 4)
    known = np.zeros((4, 4), bool)
    known[:, 0] = True
    assert count_pixels(predicted, reference, known) == PixelCounts(1, 1, 1)
    with pytest.raises(ValueError, match="one shape"):
        count_pixels(predicted, reference[:2])
    with pytest.raises(ValueError, match="bool"):
        count_pixels(predicted, reference.astype(np.uint8))


@given(MASK, MASK, MASK)
def test_counts_agree_with_the_jaccard_index(predicted, reference, known):
    counts = count_pixels(predicted, reference, known)
    total = counts.true_positive + counts.false_positive + counts.false_negative
    expected = jaccard(predicted & known, reference & known)
    assert expected == (1 if total == 0 else pytest.approx(counts.true_positive / total))


def test_everything_called_disease_is_found_out_by_the_precision():
    rows = [("a", 10, 90, 0), ("b", 30, 70, 0), ("healthy", 0, 100, 0)]
    names = ["image_id", "true_positive", "false_positive", "false_negative"]
    table = pd.DataFrame(rows, columns=names).assign(source="s")
    table["group"] = table["image_id"]
    found = region_figures(table, replicates=50)
    assert found.images == 2
    values = {name: estimate.value for name, estimate in found.estimates.items()}
    assert values["sensitivity"] == values["pixel_sensitivity"] == 1
    assert values["precision"] == values["pixel_precision"] == values["iou"] == pytest.approx(0.2)


def test_pixels_and_images_weigh_differently_and_nothing_found_has_no_precision():
    names = ["image_id", "true_positive", "false_positive", "false_negative"]
    table = pd.DataFrame([("a", 90, 0, 10), ("b", 0, 0, 10)], columns=names).assign(source="s")
    table["group"] = table["image_id"]
    values = {name: each.value for name, each in region_figures(table, replicates=50).estimates.items()}
    assert values["sensitivity"] == pytest.approx(0.45)
    assert values["pixel_sensitivity"] == pytest.approx(90 / 110)
    assert values["precision"] == 0.5
    assert values["pixel_precision"] == 1
    assert region_figures(table[table["image_id"] == "none"]).estimates == {}
