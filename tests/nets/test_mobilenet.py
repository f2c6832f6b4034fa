import pytest
import torch
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.nets.mobilenet import MobileNetV2, load_mobilenet_pretrained


@pytest.fixture(scope="module")
def published():
    """Random tensors under torchvision's names: three colour channels, a head ``classifier.1`` of 1000 classes."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, values in MobileNetV2(1000).state_dict().items():
        shape = (32, 3, 3, 3) if name == "features.0.0.weight" else values.shape
        stored = name.replace("classifier.", "classifier.1.")
        state[stored] = torch.rand(shape, generator=generator) if values.is_floating_point() else values
    return state


def test_size_shapes_and_names_are_those_published():
    network = MobileNetV2(1000).eval()
    # torchvision counts 3,504,872; a stem of three channels has 2 x 32 x 9 weights more.
    assert sum(values.numel() for values in network.parameters()) == 3_504_872 - 2 * 32 * 9
    with torch.inference_mode():
        middle, last = network.maps_by_depth(torch.rand(2, 1, 64, 96))
    assert middle.shape == (2, network.num_middle_features, 4, 6)
    assert last.shape == (2, network.num_features, 2, 3)
    assert last.min() >= 0
    names = set(network.state_dict())
    assert {"features.1.conv.0.0.weight", "features.1.conv.2.running_var", "features.17.conv.1.1.bias"} <= names
    assert {"features.18.1.running_mean", "features.2.conv.3.weight"} <= names


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_weights_load_and_a_grey_image_answers_like_three_equal_colours(published, tmp_path, prefix):
    torch.save({prefix + name: values for name, values in published.items()}, tmp_path / "mobilenet.pth")
    network = MobileNetV2(3)
    head = network.classifier.weight.clone()
    load_mobilenet_pretrained(network, tmp_path / "mobilenet.pth")
    image = torch.rand(1, 1, 32, 32)
    expected = F.conv2d(image.repeat(1, 3, 1, 1), published["features.0.0.weight"], None, 2, 1)
    torch.testing.assert_close(network.features[0][0](image), expected)
    assert torch.equal(network.classifier.weight, head)
    same = MobileNetV2(1000)
    load_mobilenet_pretrained(same, tmp_path / "mobilenet.pth")
    assert torch.equal(same.classifier.weight, published["classifier.1.weight"])


def test_other_weights_are_refused_in_one_sentence(published, tmp_path):
    network = MobileNetV2(2)
    load_mobilenet_pretrained(network, "none")
    with pytest.raises(RecipeError, match="No package carries"):
        load_mobilenet_pretrained(network, "imagenet")
    torch.save({"conv1.weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(RecipeError, match="other.pth are not those of MobileNetV2"):
        load_mobilenet_pretrained(network, tmp_path / "other.pth")
