import numpy as np
import pytest

from cxrscreen.systems.cascade.roi import RoiSettings, cut_lungs, network_input, place_in_radiograph

SETTINGS = RoiSettings(side=64, working_side=128, margin=0.0, dilation=0.02)


def radiograph():
    pixels = np.random.default_rng(0).random((200, 160), dtype=np.float32)
    mask = np.zeros((50, 40), np.uint8)
    mask[10:40, 5:15] = 1
    mask[10:40, 25:35] = 2
    return pixels, mask


def test_the_box_is_that_of_the_lungs():
    roi = cut_lungs(*radiograph(), SETTINGS)
    assert roi.trusted
    assert roi.box == pytest.approx((0.2, 0.125, 0.8, 0.875))
    assert roi.pixels.shape == roi.mask.shape == (64, 64)


def test_nothing_outside_the_dilated_lungs_reaches_the_classifiers():
    pixels, mask = radiograph()
    roi = cut_lungs(pixels, mask, SETTINGS)
    changed = pixels.copy()
    changed[:, 68:92] = 1.0 - changed[:, 68:92]
    between = cut_lungs(changed, mask, SETTINGS)
    assert (roi.masked[:, 29:35] == 0).all()
    assert (between.masked[:, 29:35] == 0).all()
    assert roi.masked[:, :15].any()


def test_exposure_does_not_change_the_region():
    pixels, mask = radiograph()
    one, other = cut_lungs(pixels, mask, SETTINGS), cut_lungs(0.4 * pixels + 0.1, mask, SETTINGS)
    np.testing.assert_allclose(one.pixels, other.pixels, atol=1e-4)


def test_without_lungs_the_whole_image_stands_in():
    pixels, mask = radiograph()
    roi = cut_lungs(pixels, np.zeros_like(mask), SETTINGS)
    assert not roi.trusted
    assert roi.box == (0.0, 0.0, 1.0, 1.0)
    assert (roi.mask == 1).all()


def test_a_larger_copy_of_the_image_gives_the_same_region():
    pixels, mask = radiograph()
    twice = np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)
    np.testing.assert_allclose(
        cut_lungs(pixels, mask, SETTINGS).pixels, cut_lungs(twice, mask, SETTINGS).pixels, atol=1e-4
    )


def test_a_map_goes_back_where_it_came_from():
    placed = place_in_radiograph(np.ones((64, 64), np.float32), (0.2, 0.125, 0.8, 0.875), (200, 160))
    assert placed[40:160, 20:140].min() == 1.0
    placed[40:160, 20:140] = 0
    assert not placed.any()


def test_background_is_minus_one_for_the_networks():
    assert network_input(np.zeros((2, 2), np.float32)).tolist() == [[-1.0, -1.0], [-1.0, -1.0]]


def test_a_radiograph_that_is_not_reduced_first_is_averaged_down():
    # Each second pixel black, each other one white: what takes single pixels sees either, what averages sees grey.
    pixels = np.indices((512, 512)).sum(axis=0) % 2
    roi = cut_lungs(
        pixels.astype(np.float32),
        np.ones((8, 8), np.uint8),
        RoiSettings(side=60, working_side=None, margin=0.0, dilation=0.0),
    )
    np.testing.assert_allclose(roi.pixels, 0.5, atol=0.1)
