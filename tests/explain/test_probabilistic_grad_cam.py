import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.explain.heat_map import heat_map
from cxrscreen.explain.probabilistic_grad_cam import patch_grad_cam, probabilistic_grad_cam

FLAT = np.ones((2, 2), np.float32)


def test_a_hand_computed_example():
    # Two patches of 2 x 2 on 3 x 3 pixels, which overlap in the middle.
    first = np.array([[1, 1], [1, 0]], np.float32)
    second = np.array([[1, 0], [0, 0]], np.float32)
    maps = np.stack([np.stack([first, second]), np.stack([second, first])])
    probabilities = np.array([[0.5, 0.25], [0.8, 0.1]], np.float32)
    found = probabilistic_grad_cam(maps, probabilities, np.array([[0, 0], [1, 1]]), (3, 3), 2)
    nan = np.nan
    np.testing.assert_array_equal(found.counts, [[1, 1, 0], [1, 2, 1], [0, 1, 1]])
    np.testing.assert_allclose(found.maps[0], [[0.5, 0.5, nan], [0.5, (0 + 0.8) / 2, 0], [nan, 0, 0]])
    np.testing.assert_allclose(found.maps[1], [[0.25, 0, nan], [0, (0 + 0.1) / 2, 0.1], [nan, 0.1, 0]], atol=1e-7)
    np.testing.assert_array_equal(found.looked_at, found.counts > 0)
    np.testing.assert_array_equal(found.shown(0)[[0, 2], [2, 0]], [0, 0])


def test_patches_that_reach_outside_count_only_inside():
    maps = np.zeros((1, 1, 2, 2), np.float32)
    maps[0, 0] = [[0, 0], [0, 1]]
    found = probabilistic_grad_cam(maps, np.ones((1, 1), np.float32), np.array([[-1, -1]]), (3, 3), 2)
    np.testing.assert_array_equal(found.counts, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert found.maps[0, 0, 0] == 1
    assert np.isnan(found.maps[0, 1:]).all()


def test_a_patch_wholly_outside_changes_nothing():
    maps = np.stack([[FLAT * [[1, 0]]], [FLAT]]).astype(np.float32)
    corners = np.array([[0, 0], [7, -9]])
    found = probabilistic_grad_cam(maps, np.ones((2, 1), np.float32), corners, (4, 4), 2)
    assert found.counts.sum() == 4


@given(st.integers(0, 10_000))
def test_the_mean_of_pasted_maps_by_the_letter(seed):
    rng = np.random.default_rng(seed)
    count, classes, side, shape = int(rng.integers(1, 6)), 3, 5, (9, 12)
    maps = rng.random((count, classes, 2, 2), dtype=np.float32)
    probabilities = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    corners = np.column_stack([rng.integers(-3, shape[0], count), rng.integers(-3, shape[1], count)])
    found = probabilistic_grad_cam(maps, probabilities, corners, shape, side)
    expected, counts = np.zeros((classes, *shape)), np.zeros(shape)
    for k, (top, left) in enumerate(corners):
        for row in range(side):
            for column in range(side):
                i, j = top + row, left + column
                if 0 <= i < shape[0] and 0 <= j < shape[1]:
                    counts[i, j] += 1
                    for c in range(classes):
                        value = heat_map(maps[k, c], (side, side))[row, column]
                        expected[c, i, j] += probabilities[k, c] * value
    np.testing.assert_array_equal(found.counts, counts)
    seen = counts > 0
    np.testing.assert_allclose(found.maps[:, seen], expected[:, seen] / counts[seen], atol=1e-6)
    assert np.isnan(found.maps[:, ~seen]).all()
    assert found.maps[:, seen].min(initial=0) >= 0
    assert found.maps[:, seen].max(initial=0) <= 1


def test_the_closed_form_is_the_gradient_of_the_network():
    torch = pytest.importorskip("torch")
    from captum.attr import LayerGradCam

    from cxrscreen.nets.resnet import ResNet

    torch.manual_seed(0)
    network = ResNet(18, 3).eval()
    patches = torch.rand(2, 1, 64, 64) * 4 - 1
    with torch.no_grad():
        features = network.feature_maps(patches).numpy()
    found = patch_grad_cam(features, network.classifier.weight.detach().numpy())
    cam = LayerGradCam(network, network.layer4)
    for label in range(3):
        expected = cam.attribute(patches, target=label, relu_attributions=True).detach().numpy()[:, 0]
        np.testing.assert_allclose(found[:, label], expected, rtol=1e-3, atol=1e-6)


def test_shapes_that_do_not_fit_and_impossible_probabilities_are_refused():
    maps, corners = np.zeros((2, 1, 2, 2), np.float32), np.zeros((2, 2), np.int64)
    with pytest.raises(ValueError, match=r"\(K, L\)"):
        probabilistic_grad_cam(maps, np.zeros((3, 1), np.float32), corners, (4, 4), 2)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        probabilistic_grad_cam(maps, np.full((2, 1), 1.5, np.float32), corners, (4, 4), 2)
