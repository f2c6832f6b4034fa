import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cxrscreen.explain.lung_share import lung_share


def test_share_by_hand_with_both_lungs():
    heat = np.array([[1, 2], [3, 4]], np.float32)
    mask = np.array([[0, 1], [2, 0]], np.uint8)
    assert lung_share(heat, mask) == pytest.approx(0.5)


@given(mask=hnp.arrays(np.uint8, (5, 7), elements=st.integers(0, 2)))
def test_an_even_map_has_the_share_of_the_area(mask):
    assert lung_share(np.full((5, 7), 0.3, np.float32), mask) == pytest.approx((mask > 0).mean())


def test_a_map_of_zeros_has_no_share():
    assert lung_share(np.zeros((3, 3), np.float32), np.ones((3, 3), np.uint8)) is None


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_values_that_are_no_heat_are_refused(value):
    heat = np.ones((3, 3), np.float32)
    heat[1, 1] = value
    with pytest.raises(ValueError, match="finite and not negative"):
        lung_share(heat, np.ones((3, 3), np.uint8))


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        lung_share(np.ones((3, 3), np.float32), np.ones((3, 4), np.uint8))
