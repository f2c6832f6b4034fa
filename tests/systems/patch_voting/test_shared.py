import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.systems.patch_voting.ballots import ask_patches
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing
from cxrscreen.systems.patch_voting.shared import (
    STRIDE,
    ask_early,
    ask_shared,
    pooled_windows,
    shared_side,
    windows_of,
)
from cxrscreen.systems.patch_voting.shared_head import own_head

LOCAL = {
    "approach": "local",
    "shown": "masked",
    "gamma": 0.5,
    "working_side": None,
    "image_side": 1024,
    "patch": 224,
    "patches": 100,
    "seed": 0,
}


def test_the_side_at_which_a_patch_looks_the_same():
    assert shared_side(Preprocessing(**LOCAL), 224) == 1024
    assert shared_side(Preprocessing(**LOCAL | {"patch": 448}), 224) == 512
    assert shared_side(Preprocessing(**LOCAL | {"patch": 100}), 224) is None
    assert shared_side(Preprocessing(**LOCAL | {"image_side": 1000}), 224) is None
    assert shared_side(Preprocessing(**LOCAL | {"approach": "global"}), 224) is None
    assert shared_side(Preprocessing(**LOCAL | {"pooling": "lungs"}), 224) is None


def test_windows_by_hand():
    features = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    corners = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.0], [-1.0, 0.0], [0.25, 1.0]])
    found = pooled_windows(features, corners, 2.0)[:, 0]
    # Rows 0 and 1 in full; the lower right; half a row down; only the first row; a quarter of a row down.
    np.testing.assert_allclose(found, [2.0, 6.0, 3.5, 0.5, 3.75])


@given(st.integers(0, 10_000))
def test_a_window_on_places_is_their_plain_mean(seed):
    rng = np.random.default_rng(seed)
    features = rng.random((3, 6, 8), dtype=np.float32)
    row, column = int(rng.integers(4)), int(rng.integers(6))
    found = pooled_windows(features, np.array([[row, column]], dtype=float), 3.0)[0]
    expected = features[:, row : row + 3, column : column + 3].mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


class Near:
    """A classifier, as engines are called, whose features at a place come from the pixels of that place alone."""

    def __init__(self, side):
        self.image_shape = (1, side, side)
        weights = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32) * 20
        self.weights = {"classifier.weight": weights, "classifier.bias": np.zeros(4, np.float32)}

    def __call__(self, image):
        places = image.shape[2] // STRIDE
        grey = image.reshape(-1, places, STRIDE, places, STRIDE).mean(axis=(2, 4))
        features = np.maximum(np.stack([grey, 1 - grey, grey**2], axis=1), 0)
        pooled = features.mean(axis=(2, 3))
        return {"features": features, "pooled": pooled, "logits": pooled @ self.weights["classifier.weight"].T}


@pytest.mark.parametrize("zoom", [1, 2])
def test_a_network_that_sees_no_further_than_a_place_answers_the_same(monkeypatch, zoom):
    settings = Preprocessing(**LOCAL | {"image_side": 256 // zoom, "patch": 64 // zoom, "patches": 40})
    side = shared_side(settings, 64)
    assert side == 256
    places = np.random.default_rng(0).integers(0, 255, (8, 8))
    image = np.kron(places, np.ones((32 // zoom, 32 // zoom))).astype(np.uint8)
    lungs = np.ones(image.shape, bool)
    # Centres in the middles of places, so that the windows begin on places.
    middles = np.argwhere(np.ones((5, 5), bool)) * (32 // zoom) + 64 // zoom
    for module in ("ballots", "shared"):
        monkeypatch.setattr(f"cxrscreen.systems.patch_voting.{module}.centres_of", lambda *_: middles)
    alone = ask_patches(Near(64), image, lungs, settings)
    one = alone.probabilities
    network = Near(side)
    shared = ask_shared(network, own_head(network), image, lungs, settings)
    # Where a patch is enlarged, the shared image knows what lies behind its border.
    np.testing.assert_allclose(shared.probabilities, one, atol=1e-4 if zoom == 1 else 0.2)
    maps = shared.last_maps()
    assert maps.shape == alone.last_maps().shape == (25, 3, 2, 2)
    np.testing.assert_allclose(maps, alone.last_maps(), atol=1e-5 if zoom == 1 else 0.3)
    assert len(np.unique(one.argmax(axis=1))) > 1


def test_windows_go_on_beyond_the_border_by_hand():
    maps = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    found = windows_of(maps, np.array([[1, 1], [-1, 2]]), 2)[:, 0]
    np.testing.assert_array_equal(found, [[[4, 5], [7, 8]], [[2, 2], [2, 2]]])


class EarlyNear(Near):
    """The part of :class:`Near` that averages 8 x 8 pixels."""

    def __call__(self, image):
        places = image.shape[2] // 8
        return {"maps": image.reshape(-1, 1, places, 8, places, 8).mean(axis=(3, 5))}


class LateNear(Near):
    """The rest of it: what it sees is one eighth as wide."""

    def __init__(self, side):
        super().__init__(side)
        self.image_shape = (1, side // 8, side // 8)

    def __call__(self, image):
        return super().__call__(np.kron(image, np.ones((8, 8), np.float32)))


def test_halves_put_together_are_the_network_for_patches_on_places(monkeypatch):
    settings = Preprocessing(**LOCAL | {"image_side": 256, "patch": 64, "patches": 40})
    rng = np.random.default_rng(0)
    image, lungs = rng.integers(0, 255, (256, 256)).astype(np.uint8), np.ones((256, 256), bool)
    on_places = rng.integers(4, 28, (40, 2)) * 8
    for module in ("ballots", "shared"):
        monkeypatch.setattr(f"cxrscreen.systems.patch_voting.{module}.centres_of", lambda *_: on_places)
    one = ask_patches(Near(64), image, lungs, settings)
    early = ask_early(EarlyNear(256), LateNear(64), image, lungs, settings)
    np.testing.assert_array_equal(early.corners, one.corners)
    np.testing.assert_allclose(early.probabilities, one.probabilities, atol=1e-4)
    np.testing.assert_allclose(early.last_maps(), one.last_maps(), atol=1e-5)
