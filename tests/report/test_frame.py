import numpy as np
import pytest

from cxrscreen.report.frame import with_colour_bar, with_lung_legend


@pytest.mark.parametrize("shape", [(512, 400, 3), (1024, 900, 3), (512, 40, 3), (8, 512, 3)])
def test_the_picture_is_inside_the_frame_unchanged(shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    height, width, _ = shape
    for framed in (with_colour_bar(picture, "Title", "Note"), with_lung_legend(picture, "Title", "Note")):
        top = 46
        assert framed.dtype == np.uint8
        assert framed.shape[0] > height + top
        assert np.array_equal(framed[top : top + height, :width], picture)


def test_title_and_bar_are_drawn() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    named, other = with_colour_bar(picture, "Grad-CAM", ""), with_colour_bar(picture, "H2", "")
    assert not np.array_equal(named[:46], other[:46])
    bar = named[46:558, 512 + 20].astype(int).sum(axis=1)
    assert bar[40] > bar[480] > 0
