import numpy as np
import pytest

from cxrscreen.data.masks import IGNORE
from cxrscreen.systems.comit_net.images import COPIES, SHIFT, ComitImages, ImageTable, with_copies
from cxrscreen.systems.comit_net.preprocessing import Preprocessing, grey_view, view_input
from cxrscreen.systems.comit_net.splits import Labelled
from cxrscreen.train.recipe import AugmentSettings

SIDE = 112
GEOMETRY_ALONE = AugmentSettings(gamma=0, contrast=0, brightness=0, blur=0, noise=0)


def labelled(**changes):
    nan = np.float32(np.nan)
    columns = {
        "image_ids": ("a", "b"),
        "lungs": np.array([True, False]),
        "region": np.array([True, False]),
        "health": np.array([1, nan], np.float32),
        "diagnosis": np.array([[1, 0], [nan, nan]], np.float32),
        "diseased": np.array([True, False]),
        "covid19": np.array([True, False]),
    }
    return Labelled(**(columns | changes))


@pytest.fixture
def table():
    """Lungs and region are squares that shine in the image."""
    arrays = np.zeros((2, 3, SIDE, SIDE), np.uint8)
    arrays[:, 0, 20:80, 28:56] = 255
    arrays[0, 1, 20:80, 28:56] = 1
    arrays[0, 2, 40:60, 28:56] = 1
    return ImageTable(arrays, {"a": 0, "b": 1})


def test_what_is_not_known_is_ignored_everywhere(table):
    images = ComitImages(table, labelled(), np.zeros(2, np.int64), None)
    image, lungs, region, health, diagnosis, index = images[0]
    np.testing.assert_allclose(image[0].numpy(), 4 * (table.arrays[0, 0] / 255.0) - 1, atol=1e-6)
    np.testing.assert_array_equal(lungs.numpy(), table.arrays[0, 1])
    np.testing.assert_array_equal(region.numpy(), table.arrays[0, 2])
    assert (health.item(), diagnosis.tolist(), index) == (1.0, [1.0, 0.0], 0)
    _, lungs, region, health, diagnosis, _ = images[1]
    assert (lungs == IGNORE).all()
    assert (region == IGNORE).all()
    assert health.isnan()
    assert diagnosis.isnan().all()


def test_masks_follow_the_image(table):
    images = ComitImages(table, labelled(), np.array([5, 0]), GEOMETRY_ALONE)
    for seed in range(4):
        image, lungs, _, *_ = images[(0, seed)]
        assert image[0][lungs == 1].mean() > 2.7
        assert image[0][lungs == 0].mean() < -0.8
        again = images[(0, seed)][0]
        assert (image == again).all()


def test_no_disease_is_asked_for_where_the_image_was_erased(table):
    erasing = GEOMETRY_ALONE.model_copy(
        update={"erase": 1.0, "rotation": 0, "scale": 0, "aspect": 0, "shift": 0, "flip": 0}
    )
    images = ComitImages(table, labelled(), np.zeros(2, np.int64), erasing)
    met = 0
    for seed in range(20):
        image, lungs, region, *_ = images[(0, seed)]
        assert (image[0][region == 1] > 2.7).all()
        assert (lungs != IGNORE).all()
        met += int((region == IGNORE).any())
    assert met == 20
    # Of an image without disease the whole stays without.
    healthy = ImageTable(np.where(np.arange(3)[None, :, None, None] == 2, 0, table.arrays), {"a": 0, "b": 1})
    assert (ComitImages(healthy, labelled(), np.zeros(2, np.int64), erasing)[(0, 1)][2] == 0).all()


def test_the_five_copies_are_those_of_the_paper(table):
    # The label decides, not whether a task asks for it.
    part, places = with_copies(labelled(diagnosis=np.full((2, 2), np.nan, np.float32)), copies=True)
    assert part.image_ids == ("a",) * 6 + ("b",)
    assert places.tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert [copy.rotation for copy in COPIES] == [0, 10, -10, 0, 0, 0]
    # Ten pixels of 224.
    assert [(copy.shift_x / SHIFT, copy.shift_y / SHIFT) for copy in COPIES[3:]] == [(1, 0), (0, 1), (1, 1)]
    assert round(SHIFT * 224) == 10
    images = ComitImages(table, part, places, None)
    step = 10 * SIDE // 224
    for place, (down, right) in ((3, (0, step)), (4, (step, 0)), (5, (step, step))):
        moved = np.zeros((SIDE, SIDE), np.uint8)
        moved[20 + down : 80 + down, 28 + right : 56 + right] = 1
        np.testing.assert_array_equal(images[place][1].numpy(), moved)
    first, second = (np.argwhere(images[place][1].numpy() == 1) for place in (1, 2))
    assert np.corrcoef(first.T)[0, 1] * np.corrcoef(second.T)[0, 1] < 0
    assert with_copies(labelled(), copies=False)[0].image_ids == ("a", "b")


def test_the_view_spans_the_percentiles():
    pixels = np.linspace(0.2, 0.7, 64 * 64, dtype=np.float32).reshape(64, 64)
    view = grey_view(pixels, 32, Preprocessing(masks=()))
    assert (view.min(), view.max()) == (0, 255)
    inside = view_input(view)
    assert inside.shape == (1, 32, 32)
    assert (inside.min(), inside.max()) == (-1.0, 3.0)
    whole = grey_view(pixels, 32, Preprocessing(masks=(), low=0.0, high=100.0))
    assert (whole == 255).sum() < (view == 255).sum()
    # An image of one grey value is no division by zero.
    assert grey_view(np.full((40, 40), 0.5, np.float32), 32, Preprocessing(masks=())).max() == 0
