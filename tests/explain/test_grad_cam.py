import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from cxrscreen.explain.grad_cam import grad_cam, grad_cam_of_linear_head, guided_grad_cam
from cxrscreen.nets import densenet
from cxrscreen.nets.densenet import DenseNet121


def test_grad_cam_by_hand():
    features = np.array([[[1, 2], [3, 4]], [[10, 0], [0, 1]]], np.float32)
    gradients = np.array([[[4, 0], [0, 4]], [[-1, -1], [-1, -1]]], np.float32)
    result = grad_cam(features, gradients)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[0, 4], [6, 7]])


def test_general_form_agrees_with_captum_where_the_head_is_not_linear():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 5, 3, stride=2), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 4), nn.Tanh(), nn.Linear(4, 2))
    # Opposite classes: what speaks against one speaks for the other, so one map is not empty.
    head[-1].weight.data[1] = -head[-1].weight.data[0]
    image = torch.rand(1, 1, 16, 16)
    tops = []
    for target in (0, 1):
        expected = LayerGradCam(nn.Sequential(body, head), body).attribute(image, target, relu_attributions=True)
        features = body(image).detach().requires_grad_()
        head(features)[0, target].backward()
        result = grad_cam(features[0].detach().numpy(), features.grad[0].numpy())
        np.testing.assert_allclose(result, expected[0, 0].detach().numpy(), atol=1e-6)
        tops.append(result.max())
    assert max(tops) > 0


@pytest.mark.parametrize("output", [0, 1])
def test_closed_form_agrees_with_the_general_form_on_a_densenet(monkeypatch, output):
    monkeypatch.setattr(densenet, "BLOCK_LAYERS", (1, 1, 1, 1))
    torch.manual_seed(1)
    network = DenseNet121(num_outputs=2).eval()
    features = network.feature_maps(torch.rand(1, 1, 96, 64)).detach().requires_grad_()
    network.classifier(features.mean(dim=(2, 3)))[0, output].backward()
    general = grad_cam(features[0].detach().numpy(), features.grad[0].numpy())
    closed = grad_cam_of_linear_head(features[0].detach().numpy(), network.classifier.weight[output].detach().numpy())
    assert general.shape == closed.shape == (3, 2)
    np.testing.assert_allclose(closed, general, rtol=1e-4, atol=1e-6 * general.max())
    signed = np.tensordot(network.classifier.weight[output].detach().numpy(), features[0].detach().numpy(), axes=1)
    np.testing.assert_array_equal(closed > 0, signed > 0)


def test_the_guided_gradient_is_kept_where_grad_cam_looks():
    guided = np.array([[1, -2], [3, 4]], np.float32)
    result = guided_grad_cam(guided, np.array([[0, 1], [0.5, 0]], np.float32))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[0, -2], [1.5, 0]])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        grad_cam(np.zeros((2, 3, 3), np.float32), np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ValueError, match="one size"):
        guided_grad_cam(np.zeros((3, 3), np.float32), np.zeros((3, 4), np.float32))
