import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.nets.resnet import ResNet, load_resnet_pretrained


def published_layout(depth: int) -> dict[str, torch.Tensor]:
    """Random tensors under torchvision's names: three colour channels, a head ``fc`` of 1000 classes."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, values in ResNet(depth, 1000).state_dict().items():
        shape = (64, 3, 7, 7) if name == "conv1.weight" else values.shape
        stored = name.replace("classifier.", "fc.")
        state[stored] = torch.rand(shape, generator=generator) if values.is_floating_point() else values
    return state


@pytest.mark.parametrize(("depth", "published", "features"), [(18, 11_689_512, 512), (50, 25_557_032, 2048)])
def test_size_and_shapes_are_those_published(depth, published, features):
    network = ResNet(depth, 1000).eval()
    # A stem of three channels has 2 x 64 x 49 weights more.
    assert sum(values.numel() for values in network.parameters()) == published - 2 * 64 * 49
    with torch.inference_mode():
        middle, last = network.maps_by_depth(torch.rand(2, 1, 64, 96))
    assert middle.shape == (2, features // 2, 4, 6)
    assert last.shape == (2, features, 2, 3)
    assert last.min() >= 0
    assert (network.num_features, network.num_middle_features) == (features, features // 2)


def test_names_are_torchvisions():
    names = set(ResNet(50, 2).state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.0.weight", "layer3.5.bn3.bias"} <= names
    assert {"layer2.0.downsample.1.running_mean", "layer4.1.conv2.weight"} <= set(ResNet(18, 2).state_dict())
    assert not any(name.startswith("layer1.0.downsample") for name in ResNet(18, 2).state_dict())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_weights_load_and_a_grey_image_answers_like_three_equal_colours(tmp_path, prefix):
    stored = published_layout(18)
    torch.save({prefix + name: values for name, values in stored.items()}, tmp_path / "resnet.pth")
    network = ResNet(18, 4)
    head = network.classifier.weight.clone()
    load_resnet_pretrained(network, tmp_path / "resnet.pth")
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(
        network.conv1(image), F.conv2d(image.repeat(1, 3, 1, 1), stored["conv1.weight"], None, 2, 3)
    )
    assert torch.equal(network.get_parameter("layer4.1.conv2.weight"), stored["layer4.1.conv2.weight"])
    assert torch.equal(network.classifier.weight, head)
    same = ResNet(18, 1000)
    load_resnet_pretrained(same, tmp_path / "resnet.pth")
    assert torch.equal(same.classifier.weight, stored["fc.weight"])


def test_grey_values_reach_the_stem_as_published_weights_know_them():
    network = ResNet(18, 1)
    seen = []
    network.conv1.register_forward_hook(lambda _module, given, _result: seen.append(given[0]))
    # Black, white: (0 - mean) / spread and (1 - mean) / spread.
    network.eval()(torch.tensor([-1.0, 3.0]).repeat_interleave(512).reshape(1, 1, 32, 32))
    assert seen[0].min().item() == pytest.approx(-0.449 / 0.226, abs=1e-4)
    assert seen[0].max().item() == pytest.approx((1 - 0.449) / 0.226, abs=1e-4)


def test_other_weights_are_refused_in_one_sentence(tmp_path):
    torch.save(published_layout(18), tmp_path / "eighteen.pth")
    with pytest.raises(RecipeError, match="eighteen.pth are not those of this ResNet"):
        load_resnet_pretrained(ResNet(50, 2), tmp_path / "eighteen.pth")
    with pytest.raises(RecipeError, match="No package carries"):
        load_resnet_pretrained(ResNet(18, 2), "imagenet")
    with pytest.raises(RecipeError, match="missing"):
        load_resnet_pretrained(ResNet(18, 2), tmp_path / "nowhere.pth")


def test_a_logit_is_linear_in_the_pooled_features():
    network = ResNet(18, 3).eval()
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        expected = nn.functional.linear(
            network.feature_maps(image).mean(dim=(2, 3)), network.classifier.weight, network.classifier.bias
        )
        torch.testing.assert_close(network(image), expected)
