import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.exposure import match_histograms

from cxrscreen.imaging.enhancement.levels import from_levels, to_levels
from cxrscreen.imaging.enhancement.matching import grey_quantiles, match_histogram


def test_it_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    image = from_levels(rng.integers(30, 200, (64, 64)).astype(np.uint8))
    other = from_levels((255 * rng.beta(2, 5, (80, 60))).astype(np.uint8))
    ours = match_histogram(image, grey_quantiles(other))
    np.testing.assert_allclose(ours, match_histograms(image, other), atol=0.02)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_levels_survive_the_way_there_and_back(levels):
    np.testing.assert_array_equal(to_levels(from_levels(levels)), levels)


def test_the_order_is_kept_and_the_distribution_taken():
    image = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100)
    reference = tuple(np.linspace(0.3, 0.6, 256))
    matched = match_histogram(image, reference)
    assert (np.diff(matched.ravel()) >= 0).all()
    assert matched.min() == pytest.approx(0.3, abs=0.005)
    assert matched.max() == pytest.approx(0.6, abs=0.005)
    assert np.median(matched) == pytest.approx(0.45, abs=0.005)


@pytest.mark.parametrize("reference", [(), (0.5,), (0.6, 0.5), (-0.1, 0.5), (0.5, 1.2)])
def test_what_is_no_reference_is_refused(reference):
    with pytest.raises(ValueError, match="reference"):
        match_histogram(np.zeros((2, 2), np.float32), reference)
