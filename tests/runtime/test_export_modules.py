"""Every network of this project is described from its exported weights alone, built again, and answers the same."""

import json

import numpy as np
import pytest
import torch

from cxrscreen.errors import BundleError
from cxrscreen.nets import densenet, efficientnet_lite, vgg
from cxrscreen.nets.base_cxr import BaseCxr
from cxrscreen.nets.chexnet import CheXNet, CovidCxNet
from cxrscreen.nets.comit import ComitNet, LiteEncoder, VggEncoder
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.nets.fc_densenet import FCDenseNet
from cxrscreen.nets.named import classifier_named
from cxrscreen.nets.segnet import SegNet
from cxrscreen.nets.unet import UNet
from cxrscreen.nets.vgg import VGG
from cxrscreen.runtime.export_modules import (
    answers_of,
    build,
    definition_of,
    fill,
    read_state,
    write_exported,
    write_state,
)
from cxrscreen.runtime.weights import Weights

SIDE = 96


@pytest.fixture(autouse=True)
def _short_networks(monkeypatch):
    monkeypatch.setattr(densenet, "BLOCK_LAYERS", (1, 1, 1, 1))
    stages = ((1, 3, 1, 1, 8), (1, 3, 2, 2, 8), (1, 5, 2, 2, 16), (1, 3, 2, 2, 112), (1, 3, 2, 2, 24))
    monkeypatch.setattr(efficientnet_lite, "STAGES", stages)
    monkeypatch.setattr(efficientnet_lite, "MIDDLE_BLOCK", 3)
    monkeypatch.setattr(efficientnet_lite, "FEATURES", 64)


def comit_vgg(**settings):
    return ComitNet(VggEncoder(VGG(16, 1, width=0.0625)), nodes=(8, 4), **settings)


NETWORKS = {
    "unet": lambda: UNet(3, in_channels=1, width=4),
    "fc-densenet67": lambda: FCDenseNet(67, 4),
    "densenet121": lambda: classifier_named("densenet121", 2, pooling="lungs"),
    "lite": lambda: classifier_named("efficientnet-lite0", 1, pooling="lungs"),
    "lite-stack": lambda: classifier_named("efficientnet-lite0", 14, channels=3),
    "resnet18": lambda: classifier_named("resnet18", 4),
    "chexnet": CheXNet,
    "base": lambda: BaseCxr(SIDE, 1, 3),
    "covid-cxnet": lambda: CovidCxNet(classifier_named("efficientnet-lite0", channels=3, pooling="lungs"), 3),
    "covid-cxnet-plain": lambda: CovidCxNet(CheXNet(1), 1, nodes=0),
    "comit": comit_vgg,
    "comit-maps": lambda: comit_vgg(joins="maps", widths=(4, 6, 8, 8, 8), counts=(1, 2, 1, 1, 1)),
    "comit-two-tasks": lambda: comit_vgg(tasks=("lungs", "diagnosis")),
    "comit-no-masks": lambda: comit_vgg(tasks=("health",)),
    "comit-lite": lambda: ComitNet(LiteEncoder(EfficientNetLite0(1)), joins="maps", widths=(4, 4, 8, 8), nodes=(8, 4)),
}


@pytest.fixture(params=NETWORKS)
def trained(request, tmp_path):
    """A network with its weights in exported form, so that kernels have been rounded."""
    torch.manual_seed(1)
    network = NETWORKS[request.param]()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
    write_exported(network, tmp_path / "own.safetensors")
    weights = Weights(tmp_path / "own.safetensors")
    fill(network, weights)
    return network.eval(), weights


def test_a_network_is_built_again_from_its_weights(trained, tmp_path):
    network, weights = trained
    pooling = getattr(network, "pooling", "image")
    definition = json.loads(json.dumps(definition_of(weights, side=SIDE, pooling=pooling)))
    again = build(definition)
    assert type(again) is type(network)
    write_state(network, tmp_path / "model.pt")
    read_state(again, tmp_path / "model.pt")
    stem = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    image = np.random.default_rng(0).uniform(-1, 3, (2, stem.in_channels, SIDE, SIDE)).astype(np.float32)
    image[:, :, :40] = -1
    own, found = answers_of(network, image), answers_of(again, image)
    assert own.keys() == found.keys()
    for name, values in own.items():
        assert np.array_equal(values, found[name]), name
    # Unchanged weights give the same file.
    write_exported(again, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == weights.path.read_bytes()


def test_comit_answers_as_its_exported_graph_names_them():
    network = comit_vgg().eval()
    image = np.random.default_rng(0).uniform(-1, 3, (1, 1, 64, 64)).astype(np.float32)
    found = answers_of(network, image)
    assert set(found) == {"features", "pooled", "lungs", "disease", "health", "diagnosis"}
    assert found["health"].shape == (1, 1)
    assert found["lungs"].shape == (1, 1, 64, 64)
    assert 0 <= found["lungs"].min() <= found["lungs"].max() <= 1
    with torch.inference_mode():
        logits = network(torch.from_numpy(image)).health
    np.testing.assert_allclose(found["health"][:, 0], (logits[:, 1] - logits[:, 0]).numpy())


def test_weights_of_no_network_here_are_refused():
    for names in ({"other.weight": (2, 2)}, {"classifier.weight": (1, 8)}, {"head.weight": (1, 2, 1, 1)}):
        with pytest.raises(BundleError, match="belong to no network"):
            definition_of({name: np.zeros(shape, np.float32) for name, shape in names.items()}, side=SIDE)


def test_what_does_not_fit_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(vgg, "WIDTHS", (4, 4, 4, 4, 4))
    network = UNet(width=4)
    with pytest.raises(BundleError, match="not those of their network"):
        fill(network, {"head.weight": np.zeros((1, 4, 1, 1), np.float32)})
    write_state(SegNet(1, width=4), tmp_path / "other.pt")
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    for name in ("other.pt", "broken.pt", "missing.pt"):
        with pytest.raises(BundleError, match=f"The weights {name} are missing, damaged or of another network"):
            read_state(network, tmp_path / name)
