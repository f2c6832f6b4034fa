"""The torch engine gives what the network gave, for every network that a bundle of COVID-CXNet can hold."""

import numpy as np
import pytest
import torch

from cxrscreen.errors import BundleError
from cxrscreen.nets import densenet, efficientnet_lite
from cxrscreen.nets.base_cxr import BaseCxr
from cxrscreen.nets.chexnet import CheXNet, CovidCxNet, widen_stem
from cxrscreen.nets.comit import TASKS, ComitNet, LiteEncoder, VggEncoder
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.nets.resnet import ResNet
from cxrscreen.nets.vgg import VGG
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export_comit import export_comit
from cxrscreen.runtime.export_halves import export_halves
from cxrscreen.runtime.export_modules import network_from

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


@pytest.mark.parametrize(
    ("build", "tasks"),
    [
        (lambda: VggEncoder(VGG(16, 1, width=1 / 16)), TASKS),
        (lambda: VggEncoder(VGG(19, 1, width=1 / 32)), ("health", "diagnosis")),
        (lambda: LiteEncoder(EfficientNetLite0(1)), ("disease",)),
        (lambda: LiteEncoder(EfficientNetLite0(1)), ("lungs", "diagnosis")),
    ],
    ids=["vgg16", "vgg19", "lite region", "lite"],
)
def test_comit_net_runs_on_torch_as_on_openvino(build, tasks, tmp_path):
    torch.manual_seed(0)
    encoder = build()
    lite = isinstance(encoder, LiteEncoder)
    shape = {"widths": (5, 6, 7, 8)[: len(encoder.counts)], "joins": "maps"} if lite else {}
    network = settled(ComitNet(encoder, tasks=tasks, nodes=(6, 5), **shape))
    graph = tmp_path / "comit.onnx"
    export_comit(network, 64, tmp_path / "comit.safetensors", graph)
    agree(graph, np.random.default_rng(0).uniform(-1, 3, (2, 1, 64, 64)).astype(np.float32))


@pytest.mark.parametrize("stride", [8, 16])
def test_each_half_of_a_network_runs_on_torch_as_on_openvino(stride, tmp_path):
    torch.manual_seed(0)
    network = settled(EfficientNetLite0(4))
    early, late = tmp_path / "early.onnx", tmp_path / "late.onnx"
    assert export_halves(network, 128, 64, stride, tmp_path / "both.safetensors", early, late)
    agree(early, np.random.default_rng(0).uniform(-1, 3, (2, 1, 128, 128)).astype(np.float32))
    maps = np.random.default_rng(1).uniform(0, 1, (2, *load_engine(late).image_shape)).astype(np.float32)
    agree(late, maps)


def agree(graph, image):
    expected, found = load_engine(graph, threads=1)(image), load_engine(graph, backend="torch")(image)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4 * max(1.0, np.abs(values).max()), err_msg=name)


def test_other_weights_are_refused():
    values = np.zeros((1, 4), np.float32)
    with pytest.raises(BundleError, match="no network of this version"):
        network_from({"classifier.weight": values, "stem.weight": values})
    with pytest.raises(BundleError, match="no network of this version"):
        network_from({"stem.weight": values})
