import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from cxrscreen.nets.resnet import ResNet
from cxrscreen.train.batches import EvenBatches, drawn_chances
from cxrscreen.train.classifier import RoiImages
from cxrscreen.train.head import fit_head, pooled_features

COUNT, SIDE, KINDS, PENALTY = 12, 32, 20, 0.3


@pytest.fixture
def features():
    found = np.random.default_rng(0).normal(3.0, 2.0, (COUNT, KINDS))
    # A unit that never fires.
    found[:, 4] = 0.0
    return found


def standardised(features):
    """Features that are the same for all images are left alone."""
    spread = features.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    return (features - features.mean(axis=0)) / spread, spread


def fitted(features, truth, weights, logits):
    head = nn.Linear(KINDS, logits)
    fit_head(head, features, list(truth), weights, penalty=PENALTY)
    return head.weight.detach().numpy().astype(float), head.bias.detach().numpy().astype(float)


def test_the_head_is_the_minimum_of_the_penalised_weighted_cross_entropy(features):
    truth = np.arange(COUNT) % 2
    weights = drawn_chances(truth.tolist(), ["a"] * 9 + ["b"] * 3, {"a": 1.0, "b": 3.0})
    (slope,), (bias,) = fitted(features, truth, weights, 1)
    standard, spread = standardised(features)
    error = weights * (1 / (1 + np.exp(-(features @ slope + bias))) - truth)
    # At the minimum of a convex function its gradient is zero; here against weights that are not.
    np.testing.assert_allclose(standard.T @ error + PENALTY * slope * spread, 0.0, atol=1e-4)
    assert error.sum() == pytest.approx(0.0, abs=1e-4)
    assert np.abs(slope * spread).max() > 1e-2


def test_with_a_logit_each_the_head_is_the_minimum_over_several_classes(features):
    truth, weights = np.arange(COUNT) % 3, np.full(COUNT, 1 / COUNT)
    slopes, biases = fitted(features, truth, weights, 3)
    standard, spread = standardised(features)
    error = softmax(features @ slopes.T + biases, axis=1) - np.eye(3)[truth]
    np.testing.assert_allclose((error * weights[:, None]).T @ standard + PENALTY * slopes * spread, 0.0, atol=1e-4)
    assert np.abs(slopes * spread).max() > 1e-2


def test_two_logits_differ_by_what_one_would_say(features):
    truth, weights = np.arange(COUNT) % 2, np.full(COUNT, 1 / COUNT)
    one, two = (fitted(features, truth, weights, logits) for logits in (1, 2))
    for found, expected in zip(two, one, strict=True):
        np.testing.assert_allclose(found[1:] - found[:1], expected, atol=1e-5, rtol=1e-4)
    assert (features @ two[0].T + two[1]).argmax(axis=1).tolist() == truth.tolist()


def test_features_are_those_of_the_network_and_of_its_mirror_image():
    torch.manual_seed(0)
    network = ResNet(18, 1)
    pixels = np.random.default_rng(0).integers(0, 255, (COUNT, SIDE, SIDE), dtype=np.uint8)
    masks = np.ones((COUNT, SIDE, SIDE), np.uint8)
    images = RoiImages(pixels, masks, np.arange(COUNT) % 2, np.zeros((COUNT, 64), np.float32), SIDE, None)
    seen = torch.stack([images[index][0] for index in range(COUNT)])
    plain, both = (pooled_features(network, images, mirrored=mirrored) for mirrored in (False, True))
    assert not network.training
    with torch.no_grad():
        one, other = (network.pool(network.feature_maps(view), view).numpy() for view in (seen, seen.flip(-1)))
    # Kernels are stored in half precision.
    near = 5e-3 * np.abs(one).max()
    np.testing.assert_allclose(plain, one, atol=near)
    np.testing.assert_allclose(both, (one + other) / 2, atol=near)
    assert np.abs(one - other).max() > 2 * near


def test_chances_are_even_between_groups_and_by_weight_within():
    chances = drawn_chances(["x", "x", "x", "y"], ["a", "a", "b", "a"], {"a": 1.0, "b": 1.0})
    np.testing.assert_allclose(chances, [0.125, 0.125, 0.25, 0.5])
    batches = EvenBatches(["x", "x", "x", "y"], ["a", "a", "b", "a"], weights={}, batch=2, batches=2000, seed=0)
    drawn = np.bincount([index for batch in batches for index, _ in batch], minlength=4) / 4000
    np.testing.assert_allclose(drawn, drawn_chances(["x", "x", "x", "y"], ["a", "a", "b", "a"], {}), atol=0.03)
