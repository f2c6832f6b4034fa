import numpy as np
import pytest

from cxrscreen.imaging.enhancement import METHODS, Enhancement, beasf, clahe, enhance, three_channels
from cxrscreen.imaging.enhancement.comparison import comparison_figure

PICTURE = np.random.default_rng(0).random((40, 48), np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_size_and_range(method):
    result = enhance(PICTURE, method, reference=(0.2, 0.7))
    assert result.shape == PICTURE.shape
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1
    assert (method == "original") == np.array_equal(result, PICTURE)


def test_the_three_channels_are_original_clahe_and_beasf():
    settings = Enhancement(clip_limit=3.0, tiles=4, gamma=2.0)
    channels = three_channels(PICTURE, settings)
    assert channels.shape == (3, 40, 48)
    np.testing.assert_array_equal(channels[0], PICTURE)
    np.testing.assert_array_equal(channels[1], clahe(PICTURE, 3.0, 4))
    np.testing.assert_array_equal(channels[2], beasf(PICTURE, 2.0))


def test_matching_needs_a_reference():
    with pytest.raises(ValueError, match="reference"):
        enhance(PICTURE, "match")


def test_the_figure_has_an_image_over_a_histogram_for_each():
    figure = comparison_figure({f"Nr. {number}": PICTURE for number in range(5)}, "Title")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 10
    assert sum(bool(axes.images) for axes in shown) == 5
