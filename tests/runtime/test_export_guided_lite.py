import copy
from types import MethodType

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn
from torch.nn import functional as F

from cxrscreen.nets import efficientnet_lite
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0, InvertedResidual
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export import export_classifier, export_guided
from cxrscreen.runtime.export_guided_lite import GuidedEfficientNetLite0

from .conftest import SIDE, masked_image, settled

SHORT = ((1, 3, 1, 1, 8), (2, 5, 2, 2, 8), (1, 3, 2, 2, 16), (1, 3, 2, 2, 16), (1, 5, 2, 2, 24))
"""Strides, residuals, both kernels and a block without expansion, in six blocks."""


class ReLU6(nn.ReLU):
    """A ReLU6 that captum's hooks, which look for ``nn.ReLU``, find."""

    def forward(self, input):
        return F.relu6(input)


def with_relu_modules(network: EfficientNetLite0) -> EfficientNetLite0:
    """A copy in which each ReLU6 is a module of its own."""
    network = copy.deepcopy(network)
    for part in list(network.modules()):
        if isinstance(part, InvertedResidual):
            part.relu0, part.relu1 = ReLU6(), ReLU6()
            part.forward = MethodType(_block_forward, part)
    network.first_relu, network.last_relu = ReLU6(), ReLU6()
    network.forward = MethodType(_network_forward, network)
    return network


def _block_forward(self, x):
    maps = self.relu0(self.bn0(self.expand_conv(x))) if self.expands else x
    maps = self.bn2(self.project_conv(self.relu1(self.bn1(self.depthwise_conv(maps)))))
    return maps + x if self.adds else maps


def _network_forward(self, x):
    maps = self.first_relu(self.bn0(self.conv_stem((x - 1) / 2)))
    for block in self.blocks:
        maps = block(maps)
    return self.classifier(self.pool(self.last_relu(self.bn1(self.conv_head(maps))), x))


def captum_guided(network, image):
    return GuidedBackprop(with_relu_modules(network)).attribute(image.clone().requires_grad_(), target=0).detach()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A short network and the folder of its weights and two graphs."""
    folder = tmp_path_factory.mktemp("lite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet_lite, "STAGES", SHORT)
        network = settled(EfficientNetLite0(2, pooling="lungs"))
    export_classifier(network, SIDE, folder / "a.safetensors", folder / "a.onnx")
    written = (folder / "a.safetensors").read_bytes()
    export_guided(network, SIDE, folder / "a.safetensors", folder / "a-guided.onnx")
    assert (folder / "a.safetensors").read_bytes() == written
    return network, folder


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_captum_treats_the_reference_as_the_rule_says():
    # Three inputs: below 0, passing, above 6; then a gradient of either sign.
    network = nn.Sequential(ReLU6(), nn.Linear(4, 1, bias=False)).double()
    network[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, -4.0]], dtype=torch.double)
    image = torch.tensor([[-1.0, 3.0, 7.0, 2.0]], dtype=torch.double, requires_grad=True)
    assert GuidedBackprop(network).attribute(image, target=0).tolist() == [[0.0, 2.0, 0.0, 0.0]]


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("pooling", ["image", "lungs"])
def test_the_full_network_agrees_with_captum_in_double_precision(pooling):
    network = settled(EfficientNetLite0(2, pooling=pooling)).double()
    image = torch.from_numpy(4 * masked_image(batch=2) - 1).double()
    expected = captum_guided(network, image)
    with torch.no_grad():
        guided, logits, features, pooled = GuidedEfficientNetLite0(network)(image)
        # The ceiling is reached, so that its rule is tested.
        assert 0 < (features == 6).double().mean() < 0.5
    assert expected.abs().max() > 0
    torch.testing.assert_close(guided, expected, rtol=0, atol=1e-9 * expected.abs().max().item())
    torch.testing.assert_close(logits, network(image))
    torch.testing.assert_close(features, network.feature_maps(image))
    torch.testing.assert_close(pooled, network.pool(features, image))


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_both_graphs_agree_with_the_network_on_every_engine(exported, monkeypatch, kind):
    # The torch engine rebuilds the network.
    monkeypatch.setattr(efficientnet_lite, "STAGES", SHORT)
    short, folder = exported
    graphs = [folder / "a.onnx", folder / "a-guided.onnx"]
    image = 4 * masked_image(batch=3, seed=1) - 1
    image[2] = -1
    with torch.inference_mode():
        results = GuidedEfficientNetLite0(short)(torch.from_numpy(image))
    expected = dict(zip(("guided", "logits", "features", "pooled"), (each.numpy() for each in results), strict=True))
    for graph, outputs in zip(graphs, (("logits", "features", "pooled"), tuple(expected)), strict=True):
        engine = load_engine(graph, backend=kind)
        assert engine.outputs == outputs
        given = engine(image)
        for name in outputs:
            np.testing.assert_allclose(given[name], expected[name], rtol=0, atol=1e-4 * np.abs(expected[name]).max())
        # What the closed forms of CAM and Grad-CAM rest on.
        head = engine.weights["classifier.weight"], engine.weights["classifier.bias"]
        np.testing.assert_allclose(given["pooled"] @ head[0].T + head[1], given["logits"], atol=1e-4)


@pytest.mark.full_size
def test_the_full_graph_is_small_and_agrees_with_torch(tmp_path):
    network = settled(EfficientNetLite0(1, pooling="lungs"))
    export_guided(network, SIDE, tmp_path / "full.safetensors", tmp_path / "full.onnx")
    assert (tmp_path / "full.safetensors").stat().st_size < 7.2e6
    assert (tmp_path / "full.onnx").stat().st_size < 300e3
    image = 4 * masked_image() - 1
    with torch.inference_mode():
        expected = GuidedEfficientNetLite0(network)(torch.from_numpy(image))
    given = load_engine(tmp_path / "full.onnx")(image)
    for name, values in zip(("guided", "logits", "features", "pooled"), expected, strict=True):
        scale = values.abs().max().item()
        assert scale > 0
        np.testing.assert_allclose(given[name], values.numpy(), rtol=0, atol=1e-4 * scale)


def test_it_differs_from_the_plain_gradient(exported):
    short, _ = exported
    image = torch.from_numpy(4 * masked_image() - 1).requires_grad_()
    short(image)[:, 0].sum().backward()
    with torch.no_grad():
        guided = GuidedEfficientNetLite0(short)(image)[0]
    assert not torch.allclose(guided, image.grad, rtol=0.1, atol=0)
