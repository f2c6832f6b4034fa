import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cxrscreen.systems.cascade.lungs import LEFT_LUNG, RIGHT_LUNG, _filled, at_size, segmenter_input, two_lungs


def chest(*boxes, side=100):
    probability = np.zeros((side, side), np.float32)
    for top, bottom, left, right in boxes:
        probability[top:bottom, left:right] = 0.9
    return probability


def test_the_two_largest_components_are_the_lungs_by_position():
    mask = two_lungs(chest((20, 80, 60, 85), (20, 80, 15, 40), (2, 8, 45, 55)))
    assert set(np.unique(mask)) == {0, RIGHT_LUNG, LEFT_LUNG}
    assert mask[50, 20] == RIGHT_LUNG
    assert mask[50, 70] == LEFT_LUNG
    assert mask[5, 50] == 0


def test_holes_are_filled():
    probability = chest((20, 80, 15, 40), (20, 80, 60, 85))
    probability[45:50, 25:30] = 0.1
    assert two_lungs(probability)[47, 27] == RIGHT_LUNG


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_holes_are_those_that_scipy_fills(part):
    np.testing.assert_array_equal(_filled(part), ndimage.binary_fill_holes(part))


def test_lungs_grown_together_are_parted_at_the_bridge():
    mask = two_lungs(chest((20, 80, 10, 42), (20, 80, 58, 90), (45, 50, 40, 60)))
    assert mask[50, 20] == RIGHT_LUNG
    assert mask[50, 80] == LEFT_LUNG


def test_a_lone_narrow_component_is_one_lung():
    mask = two_lungs(chest((20, 80, 60, 85)))
    assert set(np.unique(mask)) == {0, LEFT_LUNG}


def test_specks_are_no_lungs():
    assert not two_lungs(chest((10, 12, 10, 12))).any()


@given(hnp.arrays(np.float32, (32, 32), elements=st.floats(0, 1, width=32)))
def test_any_map_gives_indices_and_never_more_than_two_components(probability):
    mask = two_lungs(probability)
    assert mask.dtype == np.uint8
    assert mask.shape == probability.shape
    assert set(np.unique(mask)) <= {0, 1, 2}


@pytest.mark.parametrize("shape", [(100, 100), (317, 251), (50, 80)])
def test_a_mask_keeps_its_place_at_another_size(shape):
    probability = chest((20, 80, 15, 40), (20, 80, 60, 85))
    mask = at_size(two_lungs(probability), probability, shape)
    assert mask.shape == shape
    assert mask[shape[0] // 2, int(0.27 * shape[1])] == RIGHT_LUNG
    assert mask[shape[0] // 2, int(0.72 * shape[1])] == LEFT_LUNG
    assert (mask > 0).mean() == pytest.approx(0.30, abs=0.02)


def test_the_network_sees_the_same_at_any_exposure():
    rng = np.random.default_rng(0)
    pixels = rng.random((120, 90), dtype=np.float32)
    view = segmenter_input(pixels, 64)
    assert view.shape == (64, 64)
    assert view.dtype == np.float32
    assert view.min() == -1.0
    assert view.max() == 1.0
    np.testing.assert_allclose(segmenter_input(0.3 * pixels + 0.2, 64), view, atol=1e-5)
    assert np.isfinite(segmenter_input(np.full((80, 80), 0.5, np.float32), 64)).all()


def test_lungs_grown_together_are_parted_beside_a_blob_too():
    mask = two_lungs(chest((20, 80, 10, 42), (20, 80, 58, 90), (45, 50, 40, 60), (2, 14, 45, 55)))
    assert mask[50, 20] == RIGHT_LUNG
    assert mask[50, 80] == LEFT_LUNG
    assert mask[8, 50] == 0
