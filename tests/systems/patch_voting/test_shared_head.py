import shutil

import numpy as np
import pytest

from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.patch_voting.modes import load_mode
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing
from cxrscreen.systems.patch_voting.shared_head import LinearHead, fitted_head, shared_head, write_shared_head

RNG = np.random.default_rng(0)
HEAD = LinearHead(RNG.normal(size=(4, 6)).astype(np.float32), RNG.normal(size=4).astype(np.float32))


def said(head, features):
    """Logits less their mean, which the softmax does not see."""
    logits = features @ head.weights.T + head.bias
    return logits - logits.mean(axis=1, keepdims=True)


def test_what_is_the_same_in_all_images_is_taken_back():
    exact = RNG.normal(size=(500, 6)).astype(np.float32)
    shared = (exact * np.float32(0.7) + RNG.normal(size=6).astype(np.float32)) @ np.diag([1, 2, 1, 1, 1, 0.5])
    fitted = fitted_head(HEAD, shared.astype(np.float32), exact, 1e-9)
    np.testing.assert_allclose(said(fitted, shared), said(HEAD, exact), atol=1e-3)
    assert np.abs(said(HEAD, shared) - said(HEAD, exact)).max() > 0.5


def test_nothing_to_correct_changes_nothing():
    exact = RNG.normal(size=(50, 6)).astype(np.float32)
    fitted = fitted_head(HEAD, exact, exact, 0.1)
    np.testing.assert_allclose(fitted.weights, HEAD.weights, atol=1e-6)
    np.testing.assert_allclose(fitted.bias, HEAD.bias, atol=1e-6)


def test_with_a_great_penalty_only_the_bias_moves():
    exact, shared = (RNG.normal(size=(50, 6)).astype(np.float32) for _ in range(2))
    fitted = fitted_head(HEAD, shared, exact, 1e9)
    np.testing.assert_allclose(fitted.weights, HEAD.weights, atol=1e-5)
    np.testing.assert_allclose(said(fitted, shared).mean(axis=0), said(HEAD, exact).mean(axis=0), atol=1e-4)


@pytest.fixture
def headed(tiny_bundle, tmp_path):
    """A bundle whose shared maps all say the third class."""
    bundle = open_bundle(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    assert shared_head(bundle) is None
    count = 64
    bias = np.array([0, 0, 5, 0], np.float32)
    return write_shared_head(bundle, LinearHead(np.zeros((4, count), np.float32), bias))


def picture(settings):
    image = np.random.default_rng(1).integers(0, 255, (settings["image_side"],) * 2).astype(np.uint8)
    lungs = np.zeros(image.shape, bool)
    lungs[20:100, 20:100] = True
    return image, lungs


@pytest.mark.parametrize("ask_again", [0.0, 1.0])
def test_a_bundle_asks_shared_maps_with_the_layer_it_has(headed, ask_again):
    settings = headed.card.preprocessing | {"ask_again": ask_again}
    found = load_mode(headed, "shared")(*picture(settings), Preprocessing(**settings))
    # All patches agree, so that nothing is asked again even where that is wanted most.
    assert (found.probabilities.argmax(axis=1) == 2).all()
    assert found.weights.max() == 0


def test_where_the_lead_is_small_every_patch_is_asked_by_itself(headed):
    # Two classes share the votes of the shared maps: no lead at all.
    head = shared_head(headed)
    weights = np.zeros_like(head.weights)
    features = load_mode(headed, "shared")
    settings = headed.card.preprocessing
    shown = picture(settings)
    pooled = features(*shown, Preprocessing(**settings)).pooled
    direction = pooled[0] - pooled.mean(axis=0)
    weights[0], weights[1] = direction, -direction
    middle = float(np.median(pooled @ direction))
    bundle = write_shared_head(headed, LinearHead(weights * 100, np.array([-middle, middle, -9, -9], np.float32) * 100))
    exact = load_mode(bundle, "exact")(*shown, Preprocessing(**settings))
    shared = load_mode(bundle, "shared")
    alone = shared(*shown, Preprocessing(**settings))
    assert len(np.unique(alone.probabilities.argmax(axis=1))) == 2
    again = shared(*shown, Preprocessing(**settings | {"ask_again": 0.6}))
    np.testing.assert_array_equal(again.probabilities, exact.probabilities)
    np.testing.assert_array_equal(again.last_maps(), exact.last_maps())
