import pytest
import torch
from torch import nn

from cxrscreen.errors import RecipeError
from cxrscreen.nets import vgg
from cxrscreen.nets.named import classifier_named, load_classifier_weights

NAMES = ("densenet121", "efficientnet-lite0", "mobilenetv2", "resnet18", "vgg19")


@pytest.fixture(autouse=True)
def _narrow_vgg(monkeypatch):
    """A fourth of its channels: its own tests have it whole."""
    monkeypatch.setattr(vgg, "WIDTHS", (16, 32, 64, 128, 128))


@pytest.mark.parametrize("name", NAMES)
def test_all_networks_have_one_interface(name):
    network = classifier_named(name, 2, dropout=0.25, pooling="lungs").eval()
    image = torch.full((2, 1, 64, 96), -1.0)
    image[0, :, :32, :64] = 1.0
    with torch.inference_mode():
        middle, last = network.maps_by_depth(image)
        assert middle.shape == (2, network.num_middle_features, 4, 6)
        assert last.shape == (2, network.num_features, 2, 3)
        torch.testing.assert_close(network.feature_maps(image), last)
        pooled = network.pool(last, image)
        torch.testing.assert_close(pooled[0], last[0, :, 0, :2].mean(dim=1))
        torch.testing.assert_close(network.decide(last, image), network.classifier(pooled))
        torch.testing.assert_close(network(image), network.classifier(pooled))
        assert network.weights_of_places(image)[0].sum() == pytest.approx(1)
        network.pooling = "image"
        torch.testing.assert_close(network.pool(last, image), last.mean(dim=(2, 3)))
        assert network.weights_of_places(image).unique().item() == pytest.approx(1 / 6)
    assert network.dropout == 0.25
    assert network.classifier.weight.shape == (2, network.num_features)


@pytest.mark.parametrize("name", NAMES)
def test_weights_go_to_the_right_loader(name, tmp_path):
    network, other = (classifier_named(name) for _ in range(2))
    state = {key: values for key, values in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "own.pth")
    load_classifier_weights(other, tmp_path / "own.pth")
    own = other.state_dict()
    assert all(torch.equal(own[key], values) for key, values in state.items() if not key.startswith("classifier."))
    before = {key: values.clone() for key, values in own.items()}
    load_classifier_weights(other, "none")
    assert all(torch.equal(values, before[key]) for key, values in other.state_dict().items())
    wrong = classifier_named(next(each for each in NAMES if each != name))
    with pytest.raises(RecipeError, match="are no complete|are not those of"):
        load_classifier_weights(wrong, tmp_path / "own.pth")


def test_a_network_without_published_weights_is_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="Linear"):
        load_classifier_weights(nn.Linear(1, 1), "none")


@pytest.mark.parametrize(("name", "parameters"), [
    # torchvision counts 3,504,872, 11,689,512 and 25,557,032 with 1000 outputs and a stem of three colours.
    ("mobilenetv2", 3_504_872 - 2 * 32 * 9),
    ("resnet18", 11_689_512 - 2 * 64 * 49),
    ("resnet50", 25_557_032 - 2 * 64 * 49),
])  # fmt: skip
def test_sizes_are_those_published(name, parameters):
    with torch.device("meta"):
        network = classifier_named(name, 1000)
    assert sum(values.numel() for values in network.parameters()) == parameters


@pytest.mark.parametrize("name", NAMES)
def test_several_channels_that_are_equal_answer_like_one(name):
    torch.manual_seed(0)
    three = classifier_named(name, channels=3).eval()
    stem = next(module for module in three.modules() if isinstance(module, nn.Conv2d))
    assert stem.in_channels == stem.weight.shape[1] == 3
    if name == "densenet121":
        return
    torch.manual_seed(0)
    one = classifier_named(name).eval()
    grey = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(three(grey.repeat(1, 3, 1, 1)), one(grey), atol=1e-5, rtol=1e-4)
