import re

import pytest
import torch

from cxrscreen.data.findings import FINDINGS
from cxrscreen.errors import RecipeError
from cxrscreen.nets import densenet
from cxrscreen.nets.chexnet import CheXNet, CovidCxNet, load_chexnet, widen_stem
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.nets.resnet import ResNet


@pytest.fixture
def small(monkeypatch):
    """DenseNet with two layers in a block."""
    monkeypatch.setattr(densenet, "BLOCK_LAYERS", (2, 2, 2, 2))


def old_names(state):
    """The layout of the checkpoints of 2017: DataParallel, norm.1, an inner name, a head in a Sequential."""
    result = {}
    for name, values in state.items():
        older = re.sub(r"denselayer1\.(norm|conv)(\d)\.", r"denselayer1.\1.\2.", name)
        result[f"module.densenet121.{older.replace('classifier.', 'classifier.0.')}"] = values
    return result


LAYOUTS = {
    "plain": lambda state: state,
    "DataParallel": lambda state: {f"module.{name}": values for name, values in state.items()},
    "2017": old_names,
    "container": lambda state: {"epoch": 3, "state_dict": old_names(state)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_published_layout_is_read(small, tmp_path, layout):
    torch.manual_seed(0)
    written, read = CheXNet().eval(), CheXNet().eval()
    torch.save(LAYOUTS[layout](written.state_dict()), tmp_path / "m.pth.tar")
    report = load_chexnet(read, tmp_path / "m.pth.tar")
    assert not report.left
    image = torch.rand(1, 3, 64, 64) * 4 - 1
    torch.testing.assert_close(read(image), written(image))
    assert read(image).shape == (1, len(FINDINGS))


def test_another_head_is_refused_and_nothing_changes(small, tmp_path):
    network = CheXNet()
    before = network.classifier.weight.clone(), network.features.conv0.weight.clone()
    torch.save(DenseNet121(2, in_channels=3).state_dict(), tmp_path / "two.pth")
    with pytest.raises(RecipeError, match="no layer of 14 findings"):
        load_chexnet(network, tmp_path / "two.pth")
    assert torch.equal(network.classifier.weight, before[0])
    assert torch.equal(network.features.conv0.weight, before[1])
    with pytest.raises(RecipeError, match="missing"):
        load_chexnet(network, tmp_path / "none.pth")


def test_the_normalisation_is_the_published_one(small):
    network = CheXNet().eval()
    plain = DenseNet121(14, in_channels=3).eval()
    plain.load_state_dict(network.state_dict())
    grey = torch.rand(1, 3, 64, 64)
    mean, spread = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(network(4 * grey - 1), plain((grey - mean) / spread), atol=1e-4, rtol=1e-4)


def test_ten_nodes_and_dropout_stand_between_features_and_logit(small):
    network = CovidCxNet(CheXNet()).eval()
    image = torch.rand(2, 3, 64, 64)
    nodes = network.pool(network.feature_maps(image), image)
    assert nodes.shape == (2, 10)
    assert (nodes >= 0).all()
    assert network.dropout == 0.2
    torch.testing.assert_close(network(image), network.classifier(nodes))
    assert not any(name.startswith("backbone.classifier") for name in network.state_dict())
    plain = CovidCxNet(CheXNet(), num_outputs=3, nodes=0).eval()
    assert plain(image).shape == (2, 3)
    assert plain.classifier.in_features == plain.num_features


def test_a_frozen_backbone_does_not_move(small):
    network = CovidCxNet(CheXNet())
    network.freeze(True)
    network.train()
    before = {name: values.clone() for name, values in network.backbone.state_dict().items()}
    learning = [values for values in network.parameters() if values.requires_grad]
    assert len(learning) == 4
    network(torch.rand(2, 3, 64, 64)).sum().backward()
    torch.optim.SGD(learning, 0.1).step()
    after = network.backbone.state_dict()
    assert all(torch.equal(values, after[name]) for name, values in before.items())
    network.freeze(False)
    assert network.backbone.training
    assert all(values.requires_grad for values in network.parameters())


@pytest.mark.parametrize("build", [lambda: EfficientNetLite0(1), lambda: ResNet(18, 1)])
def test_a_wider_stem_sees_the_same_of_equal_channels(build):
    network = build().eval()
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        before = network(grey)
        widen_stem(network)
        torch.testing.assert_close(network(grey.repeat(1, 3, 1, 1)), before, atol=1e-4, rtol=1e-3)
    with pytest.raises(ValueError, match="3 channels"):
        widen_stem(network)
