import numpy as np
import pytest
from skimage import exposure

from cxrscreen.imaging.enhancement.adaptive import adaptive_equalisation, clahe


@pytest.fixture(scope="module")
def phantom():
    rng = np.random.default_rng(3)
    ramp = np.linspace(0.2, 0.8, 256)[None] * np.ones((256, 1))
    return np.clip(ramp + 0.05 * rng.standard_normal((256, 256)), 0, 1).astype(np.float32)


def test_clahe_agrees_with_scikit_image(phantom):
    ours = clahe(phantom, 2.0, 8)
    # Its limit is a share of a tile's pixels: twice the mean of 256 bins.
    theirs = exposure.equalize_adapthist(phantom, kernel_size=32, clip_limit=2 / 256, nbins=256)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97
    assert ours.dtype == np.float32
    assert ours.min() >= 0
    assert ours.max() <= 1


def test_without_a_limit_noise_grows(phantom):
    even = slice(100, 132)
    spreads = [values[even, 100:132].std() for values in (phantom, clahe(phantom), adaptive_equalisation(phantom))]
    assert spreads == sorted(spreads)
    assert spreads[2] > 2 * spreads[0]


def test_a_tile_is_equalised_by_hand():
    # One tile, no limit: plain equalisation of 4 levels at a quarter of the pixels each.
    picture = np.repeat(np.array([0.0, 0.2, 0.4, 1.0], np.float32), 16).reshape(8, 8)
    np.testing.assert_allclose(np.unique(adaptive_equalisation(picture, 1)), [0.25, 0.5, 0.75, 1.0], atol=0.005)


@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (3, 200)])
def test_any_size_is_enhanced(shape):
    assert clahe(np.full(shape, 0.5, np.float32)).shape == shape
