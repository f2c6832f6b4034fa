import copy
from types import MethodType

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn
from torch.nn import functional as F

from cxrscreen.nets import densenet
from cxrscreen.nets.densenet import DenseLayer, DenseNet121
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export import export_guided
from cxrscreen.runtime.export_guided_densenet import GuidedDenseNet121, _through_max_pool

from .conftest import SHORT, SIDE, masked_image, settled


def with_relu_modules(network: DenseNet121) -> DenseNet121:
    """A copy in which each ReLU is a module of its own, as captum's hooks need it."""
    network = copy.deepcopy(network)
    for name, part in list(network.named_modules()):
        if isinstance(part, nn.ReLU):
            network.get_submodule(name).inplace = False
        elif isinstance(part, DenseLayer):
            part.relu1, part.relu2 = nn.ReLU(), nn.ReLU()
            part.forward = MethodType(_layer_forward, part)
    network.last_relu = nn.ReLU()
    network.forward = MethodType(_network_forward, network)
    return network


def _layer_forward(self, maps):
    x = self.conv1(self.relu1(self.norm1(torch.cat(list(maps), dim=1))))
    return self.conv2(self.relu2(self.norm2(x)))


def _network_forward(self, x):
    return self.classifier(self.pool(self.last_relu(self.features(x)), x))


def captum_guided(network, image):
    return GuidedBackprop(with_relu_modules(network)).attribute(image.clone().requires_grad_(), target=0).detach()


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_the_full_network_agrees_with_captum_in_double_precision():
    network = settled(DenseNet121(num_outputs=2)).double()
    image = torch.from_numpy(masked_image(batch=2)).double()
    expected = captum_guided(network, image)
    with torch.no_grad():
        guided, logits, features, pooled = GuidedDenseNet121(network)(image)
    assert expected.abs().max() > 0
    torch.testing.assert_close(guided, expected, rtol=0, atol=1e-9 * expected.abs().max().item())
    torch.testing.assert_close(logits, network(image))
    torch.testing.assert_close(pooled, features.mean(dim=(2, 3)))


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_pooling_over_the_lungs_agrees_with_captum(monkeypatch):
    monkeypatch.setattr(densenet, "BLOCK_LAYERS", SHORT)
    network = settled(DenseNet121(num_outputs=2, pooling="lungs")).double()
    image = torch.from_numpy(4 * masked_image(batch=2) - 1).double()
    expected = captum_guided(network, image)
    with torch.no_grad():
        guided, logits, _, _ = GuidedDenseNet121(network)(image)
    assert expected.abs().max() > 0
    torch.testing.assert_close(guided, expected, rtol=0, atol=1e-9 * expected.abs().max().item())
    torch.testing.assert_close(logits, network(image))


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_the_compiled_graph_agrees_with_captum(exported):
    image = masked_image(batch=2, seed=1)
    expected = captum_guided(exported.classifier, torch.from_numpy(image)).numpy()
    guided = load_engine(exported.folder / "guided.onnx")(image)["guided"]
    assert guided.shape == (2, 1, SIDE, SIDE)
    np.testing.assert_allclose(guided, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.full_size
def test_the_full_graph_is_small_and_agrees_with_torch(tmp_path):
    network = settled(DenseNet121(pooling="lungs"))
    export_guided(network, SIDE, tmp_path / "full.safetensors", tmp_path / "full.onnx")
    assert (tmp_path / "full.safetensors").stat().st_size < 14.6e6
    assert (tmp_path / "full.onnx").stat().st_size < 1.5e6
    image = 4 * masked_image() - 1
    with torch.inference_mode():
        expected = GuidedDenseNet121(network)(torch.from_numpy(image))
    given = load_engine(tmp_path / "full.onnx")(image)
    for name, values in zip(("guided", "logits", "features", "pooled"), expected, strict=True):
        scale = values.abs().max().item()
        assert scale > 0
        np.testing.assert_allclose(given[name], values.numpy(), rtol=0, atol=1e-4 * scale)


def test_it_differs_from_the_plain_gradient(exported):
    image = torch.from_numpy(masked_image()).requires_grad_()
    exported.classifier(image)[:, 0].sum().backward()
    with torch.no_grad():
        guided = GuidedDenseNet121(exported.classifier)(image)[0]
    assert not torch.allclose(guided, image.grad, rtol=0.1, atol=0)


def test_max_pooling_sends_the_gradient_of_a_flat_window_to_its_first_pixel():
    generator = torch.Generator().manual_seed(0)
    # Few levels, so that most windows have several maxima.
    maps = torch.randint(1, 4, (2, 3, 8, 12), generator=generator).double().requires_grad_()
    pooled = F.max_pool2d(maps, 3, stride=2, padding=1)
    gradient = torch.rand(pooled.shape, generator=generator, dtype=torch.double)
    pooled.backward(gradient)
    torch.testing.assert_close(_through_max_pool(maps.detach(), pooled.detach(), gradient), maps.grad)
