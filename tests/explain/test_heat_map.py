import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cxrscreen.explain.heat_map import heat_map, normalise, upsample

MAPS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(-50, 50))
SCALES = ("rectified", "min_max", "magnitude")


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("rectified", [[0, 0, 0.5, 1]]), ("min_max", [[0, 0.5, 0.75, 1]]), ("magnitude", [[1, 0, 0.5, 1]])],
)
def test_each_scale_by_hand(scale, expected):
    values = np.array([[-4, 0, 2, 4]], np.float32)
    result = normalise(values, scale)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.array(expected, np.float32))


@given(values=MAPS, scale=st.sampled_from(SCALES))
def test_range_top_and_polarity(values, scale):
    result = normalise(values, scale)
    assert result.min() >= 0
    order = np.abs(values) if scale == "magnitude" else values
    if values.min() == values.max() or (scale == "rectified" and values.max() <= 0):
        assert not result.any()
        return
    assert result.max() == 1
    assert result.flat[order.argmax()] == 1
    # A larger value never gets a smaller heat.
    ranks = np.argsort(order, axis=None)
    assert (np.diff(result.ravel()[ranks]) >= 0).all()


def test_a_map_of_only_negative_evidence_is_zero_when_rectified_and_not_turned_round():
    values = np.array([[-3.0, -1.0]], np.float32)
    np.testing.assert_array_equal(normalise(values, "rectified"), [[0, 0]])
    np.testing.assert_array_equal(normalise(values, "min_max"), [[0, 1]])


@pytest.mark.parametrize("values", [np.zeros((0, 3)), np.zeros(3), np.full((2, 2), np.nan), np.full((2, 2), np.inf)])
def test_what_is_no_map_is_refused(values):
    with pytest.raises(ValueError, match="a map must be"):
        normalise(values.astype(np.float32))


def test_upsampling_by_hand():
    # Centres of the four pixels lie at -1/4, 1/4, 3/4, 5/4 of the two.
    result = upsample(np.array([[0, 4]], np.float32), (1, 4))
    np.testing.assert_allclose(result, [[0, 1, 3, 4]], atol=1e-6)


@given(values=MAPS, rows=st.integers(1, 20), columns=st.integers(1, 20))
def test_upsampling_turns_with_the_image_and_stays_in_range(values, rows, columns):
    result = upsample(values, (rows, columns))
    assert result.shape == (rows, columns)
    assert result.min() >= values.min() - 1e-4
    assert result.max() <= values.max() + 1e-4
    np.testing.assert_allclose(upsample(values[:, ::-1], (rows, columns)), result[:, ::-1], atol=1e-3)
    np.testing.assert_allclose(upsample(values[::-1], (rows, columns)), result[::-1], atol=1e-3)
    np.testing.assert_allclose(upsample(values.T, (columns, rows)), result.T, atol=1e-3)


def test_the_hottest_pixel_of_a_heat_map_is_one_after_interpolation():
    values = np.zeros((8, 8), np.float32)
    values[2, 5] = 7
    result = heat_map(values, (61, 96))
    assert result.max() == 1
    row, column = np.unravel_index(result.argmax(), result.shape)
    assert abs((row + 0.5) / 61 - 2.5 / 8) < 1 / 61
    assert abs((column + 0.5) / 96 - 5.5 / 8) < 1 / 96
