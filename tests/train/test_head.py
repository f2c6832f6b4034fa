import numpy as np
import pytest
import torch
from scipy.special import softmax

from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.train.batches import EvenBatches, drawn_chances
from cxrscreen.train.classifier import RoiImages
from cxrscreen.train.head import fit_head, pooled_features

COUNT, SIDE = 12, 32


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return DenseNet121()


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 255, (COUNT, SIDE, SIDE), dtype=np.uint8)
    masks = np.ones((COUNT, SIDE, SIDE), np.uint8)
    return RoiImages(pixels, masks, np.arange(COUNT) % 2, np.zeros((COUNT, 64), np.float32), SIDE, None)


def test_the_head_is_the_minimum_of_the_penalised_weighted_cross_entropy(network, images):
    truth, penalty = np.arange(COUNT) % 2, 0.3
    weights = drawn_chances(truth.tolist(), ["a"] * 9 + ["b"] * 3, {"a": 1.0, "b": 3.0})
    rest = {name: value.clone() for name, value in network.state_dict().items() if not name.startswith("classifier")}
    fit_head(network, images, truth.tolist(), weights, penalty=penalty, mirrored=False)
    assert all(torch.equal(value, rest[name]) for name, value in network.state_dict().items() if name in rest)
    features = pooled_features(network, images, mirrored=False)
    # Features that are the same for all images are left alone by the standardisation.
    spread = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)

    slope = network.classifier.weight.detach().numpy()[0].astype(float)
    head, offset = (
        slope * np.where(spread > 1e-9, spread, 1.0),
        network.classifier.bias.item() + slope @ features.mean(0),
    )
    error = weights * (1 / (1 + np.exp(-(standard @ head + offset))) - truth)
    # At the minimum of a convex function its gradient is zero; here against weights that are not.
    np.testing.assert_allclose(standard.T @ error + penalty * head, 0.0, atol=1e-4)
    assert error.sum() == pytest.approx(0.0, abs=1e-4)
    assert np.abs(head).max() > 1e-2


def test_with_a_logit_each_the_head_is_the_minimum_over_several_classes(images):
    torch.manual_seed(0)
    network = DenseNet121(3)
    truth, penalty, weights = np.arange(COUNT) % 3, 0.3, np.full(COUNT, 1 / COUNT)
    fit_head(network, images, truth.tolist(), weights, penalty=penalty, mirrored=False)
    features = pooled_features(network, images, mirrored=False)
    spread = features.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    slopes = network.classifier.weight.detach().numpy().astype(float)
    logits = features @ slopes.T + network.classifier.bias.detach().numpy()
    error = softmax(logits, axis=1) - np.eye(3)[truth]
    standard = (features - features.mean(axis=0)) / spread
    np.testing.assert_allclose((error * weights[:, None]).T @ standard + penalty * slopes * spread, 0.0, atol=1e-4)
    assert np.abs(slopes * spread).max() > 1e-2


def test_mirrored_features_are_the_mean_of_both_views(network, images):
    both = pooled_features(network, images, mirrored=True)
    turned = RoiImages(images.pixels[:, :, ::-1].copy(), images.masks, images.truth, images.quantiles, SIDE, None)
    one, other = pooled_features(network, images, mirrored=False), pooled_features(network, turned, mirrored=False)
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-5)
    assert np.abs(one - other).max() > 1e-4


def test_chances_are_even_between_groups_and_by_weight_within():
    chances = drawn_chances(["x", "x", "x", "y"], ["a", "a", "b", "a"], {"a": 1.0, "b": 1.0})
    np.testing.assert_allclose(chances, [0.125, 0.125, 0.25, 0.5])
    batches = EvenBatches(["x", "x", "x", "y"], ["a", "a", "b", "a"], weights={}, batch=2, batches=2000, seed=0)
    drawn = np.bincount([index for batch in batches for index, _ in batch], minlength=4) / 4000
    np.testing.assert_allclose(drawn, drawn_chances(["x", "x", "x", "y"], ["a", "a", "b", "a"], {}), atol=0.03)


def test_two_logits_differ_by_what_one_would_say(network, images):
    truth, weights = (np.arange(COUNT) % 2).tolist(), np.full(COUNT, 1 / COUNT)
    fit_head(network, images, truth, weights, penalty=0.3, mirrored=False)
    one = network.classifier.weight.detach().clone(), network.classifier.bias.detach().clone()
    torch.manual_seed(0)
    two = DenseNet121(2)
    two.load_state_dict(
        {name: value for name, value in network.state_dict().items() if "classifier" not in name}, strict=False
    )
    fit_head(two, images, truth, weights, penalty=0.3, mirrored=False)
    for found, expected in zip((two.classifier.weight, two.classifier.bias), one, strict=True):
        torch.testing.assert_close(found[1:] - found[:1], expected, atol=1e-5, rtol=1e-4)
    logits = two.classifier(torch.from_numpy(pooled_features(two, images, mirrored=False)).float())
    assert logits.argmax(dim=1).tolist() == truth
