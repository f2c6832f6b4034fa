import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cxrscreen.explain.cam import cam, cam_literal
from cxrscreen.explain.heat_map import heat_map

FEATURES = hnp.arrays(
    np.float32, st.tuples(st.just(3), st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 9)
)
WEIGHTS = hnp.arrays(np.float32, 3, elements=st.integers(-5, 5))


def test_cam_by_hand():
    features = np.array([[[1, 2], [3, 4]], [[10, 0], [0, 1]]], np.float32)
    result = cam(features, np.array([2, -1], np.float32))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[-8, 4], [6, 7]])


@given(features=FEATURES, weights=WEIGHTS)
def test_the_mean_of_cam_is_the_logit_without_its_bias(features, weights):
    logit = weights @ features.mean(axis=(1, 2))
    np.testing.assert_allclose(cam(features, weights).mean(), logit, atol=1e-4)


@given(features=FEATURES, weights=WEIGHTS)
def test_cam_flips_with_its_features(features, weights):
    np.testing.assert_array_equal(cam(features[:, :, ::-1], weights), cam(features, weights)[:, ::-1])
    np.testing.assert_array_equal(cam(features[:, ::-1], weights), cam(features, weights)[::-1])


def blob_and_stripes() -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """A faint noise with a soft bright blob and, elsewhere, a patch of fine stripes of the same mean."""
    image = np.random.default_rng(0).random((128, 128)).astype(np.float32) * 0.1
    rows, columns = np.mgrid[:128, :128]
    image += np.exp(-((rows - 40) ** 2 + (columns - 88) ** 2) / 200).astype(np.float32)
    image[80:104, 20:44] += np.where(np.arange(24) % 2, 1, -1).astype(np.float32)
    return image, (40, 88), (92, 32)


def two_detectors(image: np.ndarray) -> np.ndarray:
    """Features of a convolution with a Gaussian and with a fine stripe kernel, rectified, pooled to stride 16."""
    blurred = cv2.GaussianBlur(image, (0, 0), 4)
    striped = np.abs(cv2.filter2D(image, -1, np.array([[-1, 2, -1]], np.float32)))
    maps = [np.maximum(response - response.mean(), 0) for response in (blurred, striped)]
    return np.stack([cv2.resize(response, (8, 8), interpolation=cv2.INTER_AREA) for response in maps])


@pytest.mark.parametrize(("weights", "planted"), [((1, -0.1), 0), ((-1, 0.1), 1)])
@pytest.mark.parametrize("scale", ["rectified", "min_max"])
def test_the_peak_lies_on_the_planted_signal_of_the_class(weights, planted, scale):
    image, *places = blob_and_stripes()
    heat = heat_map(cam(two_detectors(image), np.array(weights, np.float32)), image.shape, scale)
    peak = np.array(np.unravel_index(heat.argmax(), heat.shape))
    assert np.abs(peak - places[planted]).max() <= 16
    assert heat[places[planted]] > 0.5
    assert heat[places[1 - planted]] < 0.2
    mirrored = heat_map(cam(two_detectors(image[:, ::-1].copy()), np.array(weights, np.float32)), image.shape, scale)
    np.testing.assert_allclose(mirrored, heat[:, ::-1], atol=0.02)


def test_the_literal_reading_lays_the_features_out_row_by_row():
    pooled = np.arange(1024, dtype=np.float32)
    square = cam_literal(pooled)
    assert square.shape == (32, 32)
    assert square[0, 1] == 1
    assert square[1, 0] == 32
    heat = heat_map(square, (512, 512), "min_max")
    assert heat.shape == (512, 512)
    assert heat[0, 0] == 0
    assert heat[-1, -1] == 1


def test_the_literal_reading_of_other_lengths_is_as_near_to_a_square_as_can_be():
    wide = cam_literal(np.arange(1280, dtype=np.float32))
    assert wide.shape == (32, 40)
    assert wide[1, 0] == 40
    assert cam_literal(np.zeros(7, np.float32)).shape == (1, 7)


@pytest.mark.parametrize("pooled", [np.zeros((32, 32)), np.zeros(0)])
def test_the_literal_reading_needs_a_vector(pooled):
    with pytest.raises(ValueError, match="vector of features"):
        cam_literal(pooled)


def test_weights_of_another_length_are_refused():
    with pytest.raises(ValueError, match="features"):
        cam(np.zeros((3, 2, 2), np.float32), np.zeros(2, np.float32))
