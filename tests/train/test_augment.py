import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.train.augment import (
    Geometry,
    Intensity,
    Rectangle,
    apply_geometry,
    apply_intensity,
    apply_rectangle,
    draw_geometry,
    draw_intensity,
    draw_rectangle,
    grey_quantiles,
    match_quantiles,
)
from cxrscreen.train.recipe import AugmentSettings

RNG = np.random.default_rng(0)
IMAGE = RNG.random((32, 32), dtype=np.float32)


def test_the_still_geometry_changes_nothing():
    np.testing.assert_allclose(apply_geometry(IMAGE, Geometry(), 32), IMAGE, atol=1e-6)


def test_a_mirror_exchanges_left_and_right():
    np.testing.assert_allclose(apply_geometry(IMAGE, Geometry(mirror=True), 32), IMAGE[:, ::-1], atol=1e-6)


def test_a_half_turn_and_a_shift_do_what_they_say():
    np.testing.assert_allclose(apply_geometry(IMAGE, Geometry(rotation=180.0), 32), IMAGE[::-1, ::-1], atol=1e-4)
    shifted = apply_geometry(IMAGE, Geometry(shift_x=0.25), 32)
    np.testing.assert_allclose(shifted[:, 8:], IMAGE[:, :-8], atol=1e-6)
    assert not shifted[:, :8].any()


def test_another_side_keeps_the_picture():
    blob = np.zeros((64, 64), np.float32)
    blob[8:24, 40:56] = 1.0
    small = apply_geometry(blob, Geometry(), 32)
    assert small.shape == (32, 32)
    assert small[8, 24] == 1.0
    assert small.mean() == pytest.approx(blob.mean(), abs=0.01)


@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_drawn_changes_are_reproducible_and_keep_the_range(seed):
    drawn = AugmentSettings(histogram=0.5, erase=0.5)
    results = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        image = apply_geometry(IMAGE, draw_geometry(drawn, rng), 32)
        image = apply_intensity(image, draw_intensity(drawn, rng))
        results.append(apply_rectangle(image, draw_rectangle(drawn, rng)))
    np.testing.assert_array_equal(results[0], results[1])
    assert 0.0 <= results[0].min() <= results[0].max() <= 1.0


def test_intensity_by_hand():
    image = np.array([[0.25, 1.0]], np.float32)
    np.testing.assert_allclose(apply_intensity(image, Intensity(gamma=0.5)), [[0.5, 1.0]], atol=1e-6)
    np.testing.assert_allclose(apply_intensity(image, Intensity(contrast=2.0)), [[0.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(apply_intensity(image, Intensity(brightness=-0.1)), [[0.15, 0.9]], atol=1e-6)


def test_a_rectangle_is_blanked():
    erased = apply_rectangle(np.ones((10, 10), np.float32), Rectangle(0.2, 0.3, 0.4, 0.5))
    assert not erased[2:6, 3:8].any()
    assert erased.sum() == 100 - 20


def test_histogram_matching_gives_the_other_distribution():
    mask = np.ones((64, 64), bool)
    one = RNG.random((64, 64), dtype=np.float32) ** 2
    other = 0.5 + 0.5 * RNG.random((64, 64), dtype=np.float32)
    matched = match_quantiles(one, grey_quantiles(one, mask), grey_quantiles(other, mask))
    np.testing.assert_allclose(np.quantile(matched, [0.1, 0.5, 0.9]), np.quantile(other, [0.1, 0.5, 0.9]), atol=0.02)
    order = np.argsort(one, axis=None)
    assert (np.diff(matched.ravel()[order]) >= -1e-6).all()


def test_an_empty_mask_has_neutral_quantiles():
    quantiles = grey_quantiles(IMAGE, np.zeros((32, 32), bool))
    np.testing.assert_allclose(quantiles, np.linspace(0, 1, 64), atol=1e-6)
