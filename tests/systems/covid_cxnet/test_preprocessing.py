from dataclasses import replace

import numpy as np
import pytest

from cxrscreen.imaging.enhancement import beasf, clahe, grey_quantiles
from cxrscreen.systems.covid_cxnet.preprocessing import Preprocessing, classifier_input, region_of_interest, view_input

SIDE = 64


def settings(**changes):
    usual = {
        "classes": "binary", "roi": "mask", "working_side": None, "margin": 0.0, "dilation": 0.02,
        "channels": "stack", "clip_limit": 2.0, "tiles": 8, "gamma": 1.5,
    }  # fmt: skip
    return Preprocessing(**(usual | changes))


@pytest.fixture
def chest():
    """Pixels, and two lungs in the middle half of the height."""
    pixels = np.random.default_rng(0).random((200, 160), np.float32)
    mask = np.zeros((100, 80), np.uint8)
    mask[25:75, 10:35], mask[25:75, 45:70] = 1, 2
    return pixels, mask


def test_what_lies_outside_the_box_changes_nothing_and_what_lies_in_it_does(chest):
    pixels, mask = chest
    marked = pixels.copy()
    marked[:30], marked[180:] = 1.0, 1.0
    for kind, same in (("mask", True), ("box", True), ("none", False)):
        views = [region_of_interest(image, mask, settings(roi=kind), SIDE) for image in (pixels, marked)]
        assert np.array_equal(views[0].grey, views[1].grey) == same, kind
    # A mark between the lungs lies in the box, and the grey values are spread over that.
    between = pixels.copy()
    between[60:140, 76:84] = 1.0
    for kind in ("box", "mask"):
        plain, seen = (region_of_interest(image, mask, settings(roi=kind), SIDE) for image in (pixels, between))
        assert not np.array_equal(plain.grey[plain.lungs > 0], seen.grey[plain.lungs > 0])


def test_with_a_mask_a_mark_in_the_box_is_not_seen_and_yet_moves_the_enhancement(chest):
    masked = settings()
    view = region_of_interest(*chest, masked, SIDE)
    marked = view.grey.copy()
    marked[:, SIDE // 2 - 2 : SIDE // 2 + 2] = 255
    plain, seen = (view_input(replace(view, grey=grey), masked) for grey in (view.grey, marked))
    inside = view.lungs > 0
    assert (seen[:, view.kept == 0] == -1).all()
    assert np.array_equal(seen[0, inside], plain[0, inside])
    # The mean of BEASF and the histograms of CLAHE are those of the whole box.
    assert not np.array_equal(seen[1, inside], plain[1, inside])
    assert not np.array_equal(seen[2, inside], plain[2, inside])


def test_the_lungs_lie_in_the_frame_of_the_region(chest):
    pixels, mask = chest
    cut = region_of_interest(pixels, mask, settings(), SIDE)
    assert cut.box == (0.25, 0.125, 0.75, 0.875)
    assert cut.lungs[:, 0].all()
    assert not cut.lungs[:, SIDE // 2].any()
    assert (cut.kept >= cut.lungs).all()
    whole = region_of_interest(pixels, mask, settings(roi="none"), SIDE)
    assert whole.box == (0, 0, 1, 1)
    assert whole.trusted
    assert whole.kept.all()
    assert whole.lungs.mean() == pytest.approx(mask.astype(bool).mean(), abs=0.02)
    assert not region_of_interest(pixels, np.zeros_like(mask), settings(), SIDE).trusted


def test_channels_are_enhanced_before_they_are_filtered():
    grey = np.random.default_rng(1).random((SIDE, SIDE), np.float32)
    kept = np.zeros((SIDE, SIDE), np.float32)
    kept[:32] = 1
    image = classifier_input(grey, kept, settings())
    for channel, expected in zip(image, (grey, clahe(grey), beasf(grey)), strict=True):
        np.testing.assert_allclose(channel[:32], 4 * expected[:32] - 1, rtol=1e-5)
        assert (channel[32:] == -1).all()
    assert classifier_input(grey, kept, settings(channels="original")).shape == (1, SIDE, SIDE)


def test_matching_brings_exposures_together():
    grey = np.random.default_rng(2).random((SIDE, SIDE), np.float32)
    reference = grey_quantiles(0.2 + 0.5 * grey)
    matched = settings(reference=reference, channels="original")
    ones = np.ones_like(grey)
    images = [classifier_input(exposed, ones, matched) for exposed in (grey, (0.8 * grey**1.5).astype(np.float32))]
    assert np.abs(images[0] - images[1]).mean() < 0.05
