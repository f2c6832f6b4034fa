from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from skimage.measure import label, regionprops

from cxrscreen.evaluate.overlap import jaccard
from cxrscreen.systems.comit_net.answers import REGION_TABLE, region_row
from cxrscreen.systems.comit_net.lung_boxes import boxes_around

MASK = arrays(bool, (5, 4))


def test_pixels_are_counted_by_hand():
    reference, drawn, known = (np.zeros((4, 4), bool) for _ in range(3))
    reference[:2], drawn[1:4], known[:, 0] = True, True, True
    assert tuple(region_row("i", "lungs", drawn, reference).values()) == ("i", "lungs", 4, 8, 4)
    assert tuple(region_row("i", "lungs", drawn, reference, known).values()) == ("i", "lungs", 1, 2, 1)
    with pytest.raises(ValueError, match="one shape"):
        region_row("i", "lungs", drawn, reference[:2])
    with pytest.raises(ValueError, match="bool"):
        region_row("i", "lungs", drawn, reference.astype(np.uint8))


@given(MASK, MASK, MASK)
def test_counts_agree_with_the_jaccard_index(drawn, reference, known):
    found, false, missed = (region_row("i", "lungs", drawn, reference, known)[name] for name in REGION_TABLE[2:])
    total = found + false + missed
    assert jaccard(drawn & known, reference & known) == (1 if total == 0 else pytest.approx(found / total))


def test_a_box_is_filled_around_each_of_the_two_largest_regions():
    lungs = np.zeros((8, 10), bool)
    # A triangle, a ring, and a speck.
    lungs[0, 0] = lungs[1, :2] = lungs[2, :3] = True
    lungs[3:7, 5:9] = True
    lungs[4:6, 6:8] = False
    lungs[7, 0] = True
    expected = np.zeros((8, 10), bool)
    expected[:3, :3] = expected[3:7, 5:9] = True
    assert np.array_equal(boxes_around(lungs), expected)
    assert not boxes_around(np.zeros((3, 3), bool)).any()


@given(MASK)
def test_boxes_are_those_of_the_two_largest_regions(lungs):
    regions = regionprops(label(lungs, connectivity=1))
    largest = sorted((region.area for region in regions), reverse=True)[:2]
    # Of regions of one size any may be taken.
    expected = []
    for chosen in combinations(regions, len(largest)):
        if sorted((region.area for region in chosen), reverse=True) == largest:
            boxes = np.zeros_like(lungs)
            for region in chosen:
                boxes[region.slice] = True
            expected.append(boxes.tolist())
    assert boxes_around(lungs).tolist() in expected
