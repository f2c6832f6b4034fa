import numpy as np
import pytest

from cxrscreen.report.frame import with_colour_bar, with_lung_legend


@pytest.mark.parametrize("shape", [(512, 400, 3), (1024, 900, 3), (512, 40, 3), (8, 512, 3)])
def test_the_picture_is_inside_the_frame_unchanged(shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    height, width, _ = shape
    hatched = with_colour_bar(picture, "Title", "Note", kind="coverage", hatching=True)
    for framed in (with_colour_bar(picture, "Title", "Note"), hatched, with_lung_legend(picture, "Title", "Note")):
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


def test_the_hatching_is_explained_beside_the_bar_and_coverage_has_its_own() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    plain, explained = with_colour_bar(picture, "T", ""), with_colour_bar(picture, "T", "", hatching=True)
    assert np.array_equal(plain[:, :512], explained[:, :512])
    beside = explained[46 : 46 + 512, 512:]
    told = (beside != plain[46 : 46 + 512, 512:]).any(axis=2)[440:]
    assert told.any()
    # no word is cut at the picture's edge
    assert not told[:, -2:].any()
    coverage = with_colour_bar(picture, "T", "", kind="coverage")
    bright, other = (framed[46 + 60, 512 + 20].astype(int) for framed in (plain, coverage))
    assert bright[0] > bright[1] > bright[2]
    assert np.abs(bright - other).max() > 20
    # the words above the bars differ too, for who sees no colours
    assert not np.array_equal(plain[46:80, 512:], coverage[46:80, 512:])
