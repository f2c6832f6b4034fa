import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cxrscreen.imaging.enhancement import (
    correct_gamma,
    equalise_histogram,
    resize_to_square,
    universal_preprocessing,
)

STORED = arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)))


def test_a_hand_computed_example():
    pixels = np.array([[0.0, 0.0], [0.5, 1.0]], np.float32)
    # Cumulative 2, 3, 4 of 4 pixels; without the darkest two: 0, 1/2, 1.
    np.testing.assert_allclose(equalise_histogram(pixels), [[0, 0], [127.5, 255]])
    np.testing.assert_allclose(correct_gamma(np.array([[63.75]], np.float32), 0.5), [[127.5]])


@given(STORED)
def test_eight_bits_are_equalised_as_opencv_does(stored):
    found = equalise_histogram(stored / np.float32(255))
    expected = cv2.equalizeHist(stored)
    if np.unique(stored).size == 1:
        assert not found.any()
    else:
        np.testing.assert_allclose(found, expected, atol=0.5001)


@given(STORED, st.floats(0.2, 1.0), st.floats(0.0, 0.2))
def test_contrast_and_brightness_of_the_file_do_not_matter(stored, contrast, brightness):
    pixels = stored / np.float32(255)
    changed = (contrast * pixels * 0.8 + brightness).astype(np.float32)
    np.testing.assert_allclose(equalise_histogram(changed), equalise_histogram(pixels), atol=1e-3)


def test_sixteen_bits_are_not_rounded_to_eight():
    pixels = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    assert np.unique(equalise_histogram(pixels)).size == 4096


@pytest.mark.parametrize("side", [16, 256])
def test_the_steps_in_order(side):
    rng = np.random.default_rng(0)
    pixels = rng.beta(2, 5, (60, 90)).astype(np.float32)
    found = universal_preprocessing(pixels, side)
    assert found.shape == (side, side)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 255
    expected = resize_to_square(correct_gamma(equalise_histogram(pixels), 0.5), side)
    np.testing.assert_array_equal(found, expected)
    # The square root of a uniform distribution on [0, 1] has the mean 2/3.
    assert universal_preprocessing(pixels, 60).mean() / 255 == pytest.approx(2 / 3, abs=0.01)
