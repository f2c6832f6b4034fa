import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.report.figures import (
    LEFT_LUNG,
    RIGHT_LUNG,
    colour_scale,
    fitted_map,
    grey_picture,
    hatched,
    lung_picture,
    mask_picture,
    picture_size,
    saliency_picture,
)


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_the_longest_side_lies_in_the_range_and_the_aspect_ratio_stays(height: int, width: int) -> None:
    rows, columns = picture_size((height, width), largest=1024, smallest=512)
    assert 512 <= max(rows, columns) <= 1024
    assert min(rows, columns) == pytest.approx(
        max(1, min(height, width) * max(rows, columns) / max(height, width)), abs=1
    )


def test_grey_values_keep_their_meaning() -> None:
    pixels = np.array([[0.0, 0.5], [1.0, 0.25]], np.float32)
    assert grey_picture(pixels, smallest=1).tolist() == [[0, 128], [255, 64]]


def test_a_large_radiograph_is_brought_down() -> None:
    assert grey_picture(np.zeros((3000, 2500), np.float32)).shape == (1024, 853)


def test_each_lung_has_its_colour_and_the_rest_is_untouched() -> None:
    grey = np.full((600, 600), 100, np.uint8)
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 5:25], mask[10:50, 35:55] = 1, 2
    picture = lung_picture(grey, mask)
    assert picture[300, 150].tolist() == [int(100 * 0.78 + c * 0.22) for c in RIGHT_LUNG]
    assert picture[300, 450].tolist() == [int(100 * 0.78 + c * 0.22) for c in LEFT_LUNG]
    assert picture[300, 300].tolist() == [100, 100, 100]
    assert picture[300, 50].tolist() == pytest.approx(list(RIGHT_LUNG), abs=12)


def test_a_zero_map_shows_the_radiograph_itself() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = saliency_picture(grey, np.zeros((16, 16), np.float32), np.zeros((16, 16), np.uint8))
    assert np.array_equal(picture, np.repeat(grey[..., None], 3, axis=2))


def test_larger_values_are_laid_on_more_strongly_and_brighter() -> None:
    grey = np.full((1, 3), 96, np.uint8)
    values = np.array([[0.0, 0.5, 1.0]], np.float32)
    picture = saliency_picture(grey, values, np.zeros((1, 3), np.uint8)).astype(int)
    assert picture[0].tolist() == colour_scale(256)[[0, 128, 255]].tolist()
    distance = np.abs(picture - 96).sum(axis=2)[0]
    assert distance[0] == 0 < distance[1] < distance[2]


def test_the_outline_of_the_lungs_is_drawn_on_a_map() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 1
    picture = saliency_picture(np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.float32), mask)
    assert picture[16, 32].min() > 150
    assert picture[32, 32].max() == 0


@pytest.mark.parametrize("size", [40, 160])
def test_a_mask_keeps_its_labels_and_shape_at_another_size(size: int) -> None:
    mask = np.zeros((80, 80), np.uint8)
    mask[20:60, 10:30], mask[20:60, 50:70] = 1, 2
    small = mask_picture(mask, (size, size))
    assert np.unique(small).tolist() == [0, 1, 2]
    for label in (1, 2):
        assert (small == label).mean() == pytest.approx((mask == label).mean(), rel=0.05)


def test_a_map_is_blended_by_its_own_value_everywhere() -> None:
    """The table of colours gives what blending each pixel gives."""
    values, grey = np.meshgrid(np.arange(256), np.arange(256))
    picture = saliency_picture(grey.astype(np.uint8), (values / 255).astype(np.float32), np.zeros((256, 256), np.uint8))
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_INFERNO)[0, :, ::-1].astype(float)
    opacity = 0.72 * values[..., None] / 255
    blended = grey[..., None] + (colours[values] - grey[..., None]) * opacity
    assert np.abs(picture - blended).max() <= 0.5 + 1e-3


def test_the_lungs_are_tinted_and_the_rest_stays() -> None:
    grey = np.tile(np.arange(100, 164, dtype=np.uint8), (64, 1))
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 8:24], mask[10:50, 40:56] = 1, 2
    picture = lung_picture(grey, mask)
    np.testing.assert_array_equal(picture[:, 30], np.repeat(grey[:, 30, None], 3, axis=1))
    for column, colour in ((16, RIGHT_LUNG), (48, LEFT_LUNG)):
        wanted = 0.78 * grey[30, column] + 0.22 * np.array(colour)
        assert np.abs(picture[30, column] - wanted).max() <= 1


def test_what_was_not_looked_at_is_hatched_in_grey_whatever_the_map_holds_there() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    looked_at = np.zeros((256, 256), np.bool_)
    looked_at[:, 128:] = True
    nowhere = np.zeros((256, 256), np.uint8)
    picture = saliency_picture(grey, np.ones((256, 256), np.float32), nowhere, looked_at=looked_at)
    assert (picture[:, :128] == hatched(grey)[:, :128, None]).all()
    assert np.array_equal(picture[:, 128:], saliency_picture(grey, np.ones((256, 256), np.float32), nowhere)[:, 128:])
    # where it looked and nothing spoke, the radiograph is bare
    empty = saliency_picture(grey, np.zeros((256, 256), np.float32), nowhere, looked_at=looked_at)
    assert (empty[:, 128:] == grey[:, 128:, None]).all()
    assert (empty[:, :128] != grey[:, :128, None]).any(axis=(1, 2)).all()


@pytest.mark.parametrize("level", [0, 96, 127, 128, 255])
def test_a_hatching_can_be_told_from_every_grey_and_lets_the_radiograph_through(level: int) -> None:
    lines = hatched(np.full((420, 364), level, np.uint8)).astype(int) != level
    assert 0.1 < lines.mean() < 0.5
    assert np.abs(hatched(np.full((420, 364), level, np.uint8)).astype(int) - level)[lines].min() >= 40


@pytest.mark.parametrize("side", [50, 300])
def test_what_means_nothing_is_not_mixed_into_what_does(side: int) -> None:
    looked_at = np.zeros((100, 100), np.bool_)
    looked_at[:, 37:] = True
    values = np.where(looked_at, np.float32(0.5), np.float32(0))
    fitted, known = fitted_map(values, looked_at, (side, side))
    assert fitted.shape == known.shape == (side, side)
    assert fitted[known] == pytest.approx(0.5, abs=1e-6)
    assert (fitted[~known] == 0).all()
    assert known.mean() == pytest.approx(0.63, abs=0.011)


def test_coverage_has_other_colours_than_what_spoke_for_an_answer() -> None:
    grey, values = np.full((1, 2), 96, np.uint8), np.ones((1, 2), np.float32)
    coverage = saliency_picture(grey, values, np.zeros((1, 2), np.uint8), kind="coverage")
    assert coverage[0, 0].tolist() == colour_scale(2, "coverage")[1].tolist()
    assert np.abs(colour_scale(256).astype(int) - colour_scale(256, "coverage")).max() > 60
