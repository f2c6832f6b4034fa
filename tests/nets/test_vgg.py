import pytest
import torch
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.nets import vgg
from cxrscreen.nets.vgg import VGG, load_vgg_pretrained


@pytest.fixture
def narrow(monkeypatch):
    """A published layout of few channels, so that its files are small."""
    monkeypatch.setattr(vgg, "WIDTHS", (4, 8, 8, 8, 8))


def published_layout(depth: int) -> dict[str, torch.Tensor]:
    """Random tensors under torchvision's names: a stem of three colours and three dense layers behind the features."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, values in VGG(depth, 2).state_dict().items():
        if not name.startswith("classifier."):
            shape = (values.shape[0], 3, 3, 3) if name == "features.0.weight" else values.shape
            state[name] = torch.rand(shape, generator=generator) if values.is_floating_point() else values
    return state | {"classifier.0.weight": torch.rand(5, 5), "classifier.6.bias": torch.rand(1000)}


@pytest.mark.parametrize(("depth", "features"), [(16, 14_723_136), (19, 20_035_392)])
def test_sizes_and_names_are_torchvisions(depth, features):
    network = VGG(depth, 1000)
    # Published: 14 723 136 and 20 035 392 numbers in the features, of a stem of three colours.
    assert sum(v.numel() for v in network.features.parameters()) == features - 2 * 64 * 9
    names = set(network.state_dict())
    assert {"features.0.bias", "features.1.running_var", "features.40.weight", "classifier.bias"} <= names
    last = 40 if depth == 16 else 49
    assert f"features.{last}.weight" in names
    assert f"features.{last + 3}.weight" not in names


def test_levels_halve_five_times_and_the_width_is_a_factor(narrow):
    network = VGG(16, 3, width=0.5).eval()
    with torch.inference_mode():
        image = torch.rand(2, 1, 64, 96)
        levels = network.levels(image)
        middle, last = network.maps_by_depth(image)
    assert [tuple(maps.shape[1:]) for maps in levels] == [
        (2, 64, 96), (4, 32, 48), (4, 16, 24), (4, 8, 12), (4, 4, 6), (4, 2, 3)
    ]  # fmt: skip
    assert middle.shape == (2, 4, 4, 6)
    assert torch.equal(last, levels[-1])
    assert all(maps.min() >= 0 for maps in levels)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_weights_load_and_a_grey_image_answers_like_three_equal_colours(narrow, tmp_path, prefix):
    stored = published_layout(16)
    torch.save({prefix + name: values for name, values in stored.items()}, tmp_path / "vgg.pth")
    network = VGG(16, 4)
    head = network.classifier.weight.clone()
    load_vgg_pretrained(network, tmp_path / "vgg.pth")
    image = torch.rand(1, 1, 32, 32)
    colours = F.conv2d(image.repeat(1, 3, 1, 1), stored["features.0.weight"], stored["features.0.bias"], padding=1)
    torch.testing.assert_close(network.features[0](image), colours)
    assert torch.equal(network.get_parameter("features.40.weight"), stored["features.40.weight"])
    assert torch.equal(network.classifier.weight, head)


def test_other_weights_are_refused_in_one_sentence(narrow, tmp_path):
    torch.save(published_layout(16), tmp_path / "sixteen.pth")
    network = VGG(19, 2)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    with pytest.raises(RecipeError, match=r"sixteen.pth are not those of this VGG"):
        load_vgg_pretrained(network, tmp_path / "sixteen.pth")
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    with pytest.raises(RecipeError, match="No package carries"):
        load_vgg_pretrained(network, "imagenet")
    with pytest.raises(RecipeError, match="missing"):
        load_vgg_pretrained(network, tmp_path / "nowhere.pth")
    load_vgg_pretrained(network, "none")


def test_its_own_checkpoint_comes_back_whole(narrow, tmp_path):
    first, second = VGG(16, 2), VGG(16, 2)
    torch.save(first.state_dict(), tmp_path / "own.pth")
    load_vgg_pretrained(second, tmp_path / "own.pth")
    assert torch.equal(first.classifier.weight, second.classifier.weight)
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(first.eval()(image), second.eval()(image))
