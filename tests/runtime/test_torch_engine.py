"""The torch engine gives what the network gave, for every network that a bundle of COVID-CXNet can hold."""

import numpy as np
import pytest
import torch

from cxrscreen.errors import BundleError
from cxrscreen.nets import densenet, efficientnet_lite
from cxrscreen.nets.base_cxr import BaseCxr
from cxrscreen.nets.chexnet import CheXNet, CovidCxNet, widen_stem
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.nets.resnet import ResNet
from cxrscreen.runtime.torch_engine import network_from

from .conftest import SHORT, masked_image, settled

LITE = ((1, 3, 1, 1, 8), (1, 3, 2, 2, 8), (1, 5, 2, 2, 16), (1, 3, 2, 2, 112), (1, 3, 2, 2, 24))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(densenet, "BLOCK_LAYERS", SHORT)
    monkeypatch.setattr(efficientnet_lite, "STAGES", LITE)
    monkeypatch.setattr(efficientnet_lite, "MIDDLE_BLOCK", 3)
    monkeypatch.setattr(efficientnet_lite, "FEATURES", 64)


def wide(network):
    widen_stem(network)
    return network


@pytest.mark.parametrize(
    "build",
    [
        lambda: CheXNet(14),
        lambda: DenseNet121(1),
        lambda: wide(EfficientNetLite0(14)),
        lambda: CovidCxNet(CheXNet(), 1),
        lambda: CovidCxNet(CheXNet(), 3, nodes=0),
        lambda: CovidCxNet(EfficientNetLite0(14), 3),
        lambda: CovidCxNet(wide(EfficientNetLite0(14)), 1),
        lambda: CovidCxNet(wide(ResNet(50, 14)), 1),
        lambda: ResNet(18, 4),
        lambda: BaseCxr(96, 1, 3),
    ],
    ids=["chexnet", "grey", "lite findings", "cxnet", "no nodes", "lite grey", "lite", "resnet50", "resnet18", "base"],
)
def test_a_network_is_known_by_its_weights(build):
    network = settled(build())
    rebuilt = network_from({name: values.numpy() for name, values in network.state_dict().items()}).eval()
    assert type(rebuilt) is type(network)
    channels = next(network.parameters()).shape[1]
    image = torch.from_numpy(masked_image(channels))
    if isinstance(network, BaseCxr):
        image = torch.nn.functional.pad(image, (16, 16, 16, 16))
    with torch.inference_mode():
        assert torch.equal(rebuilt(image), network(image))


def test_other_weights_are_refused():
    values = np.zeros((1, 4), np.float32)
    with pytest.raises(BundleError, match="no network of this version"):
        network_from({"classifier.weight": values, "stem.weight": values})
    with pytest.raises(BundleError, match="no network of this version"):
        network_from({"stem.weight": values})
