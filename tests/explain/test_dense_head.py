import numpy as np
import pytest
import torch

from cxrscreen.explain.dense_head import flattened_gradients, ten_node_slopes
from cxrscreen.explain.grad_cam import grad_cam, grad_cam_of_linear_head
from cxrscreen.nets import densenet
from cxrscreen.nets.base_cxr import BaseCxr
from cxrscreen.nets.chexnet import CheXNet, CovidCxNet


def autograd(network, image, label):
    features = network.feature_maps(image).detach().requires_grad_()
    network.decide(features, image)[0, label].backward()
    return features.detach().numpy()[0], features.grad.numpy()[0]


def numbers(*tensors):
    return tuple(tensor.detach().numpy() for tensor in tensors)


def test_ten_nodes_agree_with_autograd(monkeypatch):
    monkeypatch.setattr(densenet, "BLOCK_LAYERS", (1, 1, 1, 1))
    torch.manual_seed(0)
    network = CovidCxNet(CheXNet(), num_outputs=3).eval()
    image = torch.rand(1, 3, 96, 96) * 4 - 1
    features, gradients = autograd(network, image, 2)
    (nodes,) = numbers(network.pool(network.feature_maps(image), image)[0])
    assert 0 < (nodes > 0).sum() < 10
    hidden, weights = numbers(network.hidden.weight, network.classifier.weight[2])
    ours = grad_cam_of_linear_head(features, ten_node_slopes(nodes, hidden, weights))
    np.testing.assert_allclose(ours, grad_cam(features, gradients), rtol=1e-4, atol=1e-7)


def test_the_base_model_agrees_with_autograd():
    torch.manual_seed(1)
    network = BaseCxr(side=96, num_outputs=2).eval()
    features, gradients = autograd(network, torch.rand(1, 1, 96, 96) * 4 - 1, 1)
    layers = [numbers(layer.weight, layer.bias) for layer in (network.dense1, network.dense2)]
    ours = flattened_gradients(features, *layers, *numbers(network.classifier.weight[1]))
    np.testing.assert_allclose(ours, gradients, rtol=1e-4, atol=1e-6)


def test_slopes_by_hand():
    slopes = ten_node_slopes(np.array([2.0, 0.0]), np.array([[1.0, -1.0, 0.5], [9.0, 9.0, 9.0]]), np.array([3.0, 5.0]))
    np.testing.assert_allclose(slopes, [3.0, -3.0, 1.5])
    with pytest.raises(ValueError, match="expected"):
        ten_node_slopes(np.zeros(2), np.zeros((3, 4)), np.zeros(2))
