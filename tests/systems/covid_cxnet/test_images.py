import numpy as np
import pytest

from cxrscreen.imaging.enhancement import grey_quantiles
from cxrscreen.systems.covid_cxnet.preprocessing import Preprocessing
from cxrscreen.train.recipe import AugmentSettings

SIDE = 64
STILL = {"rotation": 0, "scale": 0, "aspect": 0, "shift": 0, "flip": 0, "gamma": 0, "contrast": 0, "brightness": 0,
         "blur": 0, "noise": 0, "erase": 0}  # fmt: skip


def images(grey, settings, **augment):
    """One region, as validation (no augmentation) or training sees it."""
    from cxrscreen.systems.covid_cxnet.images import RegionImages, RegionTable

    region = np.stack([grey, np.ones_like(grey), np.ones_like(grey)])[None]
    varied = AugmentSettings(**(STILL | augment)) if augment else None
    return RegionImages(RegionTable(region, {"a": 0}), ["a"], np.zeros(1, np.int64), settings, varied)


@pytest.fixture
def plain():
    return Preprocessing(
        classes="binary", roi="box", working_side=None, margin=0.0, dilation=0.02, channels="stack", clip_limit=2.0,
        tiles=8, gamma=1.5,
    )  # fmt: skip


def test_another_exposure_differs_where_histograms_are_matched(plain):
    from dataclasses import replace

    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    matched = replace(plain, reference=grey_quantiles(np.float32(0.2) + noise / np.float32(510)))
    seen = images(noise, matched)[0][0].numpy()
    varied = images(noise, matched, brightness=0.15)[(0, 3)][0].numpy()
    # Matching goes by ranks: a brightness before it would be gone.
    assert np.abs(varied[0] - seen[0]).mean() > 0.05
    again = images(noise, matched, brightness=0.15)[(0, 3)][0].numpy()
    np.testing.assert_array_equal(varied, again)


def test_what_comes_in_from_outside_moves_no_statistics(plain):
    halves = np.full((SIDE, SIDE), 100, np.uint8)
    halves[:, SIDE // 2 :] = 160
    seen = images(halves, plain)[0][0].numpy()
    smaller = [images(halves, plain, scale=0.4)[(0, seed)][0].numpy() for seed in range(8)]
    smaller = [image for image in smaller if (image[:, 0] == -1).all()]
    assert smaller
    # BEASF, which goes by the mean, gives both halves what screening gives them, and the frame is black.
    for image in smaller:
        for column in (SIDE // 2 - 4, SIDE // 2 + 4):
            assert image[2, SIDE // 2, column] == pytest.approx(seen[2, SIDE // 2, column], abs=1e-4)
