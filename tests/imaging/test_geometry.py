import numpy as np
import pytest

from cxrscreen.imaging.geometry import resize, uniform_margins


def test_resize_averages_where_it_shrinks() -> None:
    image = np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.float32)
    assert np.allclose(resize(image, (1, 2)), [[2.5, 4.5]])


def test_resize_shrinks_one_axis_while_the_other_grows() -> None:
    image = np.tile(np.array([[0.0, 1.0]], np.float32), (2, 50))
    small = resize(image, (4, 50))
    assert small.shape == (4, 50)
    assert np.allclose(small, 0.5), "the shrinking axis must be averaged, not sampled"


def test_resize_interpolates_where_it_grows_and_takes_any_type() -> None:
    big = resize(np.array([[0, 100]], np.uint8), (1, 4))
    assert big.dtype == np.float32
    assert np.allclose(big, [[0, 25, 75, 100]])


@pytest.mark.parametrize(("shape", "size"), [((2, 2, 3), (1, 1)), ((0, 2), (1, 1)), ((2, 2), (0, 1))])
def test_resize_refuses_the_impossible(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        resize(np.zeros(shape, np.float32), size)


def test_margins_of_a_frame_within_a_frame() -> None:
    rng = np.random.default_rng(0)
    image = np.ones((100, 120), np.float32)
    image[5:90, 8:110] = 0.0
    image[15:80, 20:100] = rng.random((65, 80), np.float32)
    assert uniform_margins(image) == (15, 20, 20, 20)


def test_no_margins_in_content_nor_in_a_flat_image() -> None:
    assert uniform_margins(np.random.default_rng(0).random((50, 50), np.float32)) == (0, 0, 0, 0)
    assert uniform_margins(np.full((50, 50), 0.3, np.float32)) == (0, 0, 0, 0)


def test_a_gradient_is_no_margin() -> None:
    image = np.tile(np.linspace(0, 1, 100, dtype=np.float32)[:, None], (1, 100))
    top, bottom, left, right = uniform_margins(image)
    assert top + bottom < 40, "each round may take what lies within the tolerance, no more"
    assert (left, right) == (0, 0)
