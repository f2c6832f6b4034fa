import re
from urllib.error import URLError

import pytest
import torch
from monai.networks.nets import DenseNet121 as MonaiDenseNet121
from safetensors.torch import save_file

from cxrscreen.errors import RecipeError
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.pretrained import load_pretrained, our_name


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """A three-channel checkpoint with a head of 14, as CheXNet's."""
    torch.manual_seed(0)
    return DenseNet121(num_outputs=14, in_channels=3).state_dict()


def old(name: str) -> str:
    """The spelling of torchvision before 0.4, still in the published files."""
    return re.sub(r"(denselayer\d+)\.(norm|conv)(\d)\.", r"\1.\2.\3.", name)


LAYOUTS = {
    "torchvision": lambda name: name,
    "torchvision, old": old,
    "chexnet": lambda name: "densenet121." + old(name).replace("classifier.", "classifier.0."),
    "chexnet, parallel": lambda name: "module.densenet121." + old(name).replace("classifier.", "classifier.0."),
    "lightning": lambda name: "network." + name,
}


@pytest.mark.parametrize(
    ("layout", "container"),
    [
        ("torchvision", None),
        ("torchvision, old", "model"),
        ("chexnet", None),
        ("chexnet, parallel", "state_dict"),
        ("lightning", "state_dict"),
    ],
)
def test_every_published_layout_fills_the_whole_network(tmp_path, published, layout, container):
    renamed = {LAYOUTS[layout](name): values for name, values in published.items()}
    path = tmp_path / "weights.pth"
    torch.save({container: renamed, "epoch": 3} if container else renamed, path)
    network = DenseNet121(num_outputs=14, in_channels=3)
    report = load_pretrained(network, path)
    assert report.left == report.unexpected == ()
    assert len(report.matched) == 727 - 121
    for name, values in network.state_dict().items():
        assert torch.equal(values, published[name])


def test_a_grey_network_answers_as_the_colour_one_to_a_grey_image(tmp_path, published):
    save_file(published, tmp_path / "weights.safetensors")
    colour, grey = DenseNet121(14, in_channels=3).eval(), DenseNet121(14, in_channels=1).eval()
    load_pretrained(colour, tmp_path / "weights.safetensors")
    load_pretrained(grey, tmp_path / "weights.safetensors")
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(grey(image), colour(image.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)


def test_a_head_of_another_size_is_left_and_reported(tmp_path, published):
    torch.save({**published, "extra.weight": torch.ones(1)}, tmp_path / "weights.pt")
    network = DenseNet121(num_outputs=1, in_channels=3)
    head = network.classifier.weight.clone()
    report = load_pretrained(network, str(tmp_path / "weights.pt"))
    assert report.left == ("classifier.weight", "classifier.bias")
    assert report.unexpected == ("extra.weight",)
    assert torch.equal(network.classifier.weight, head)
    assert torch.equal(network.features.conv0.weight, published["features.conv0.weight"])


def test_none_leaves_everything():
    network = DenseNet121()
    before = network.features.conv0.weight.clone()
    report = load_pretrained(network, "none")
    assert report.matched == ()
    assert len(report.left) == 727 - 121
    assert torch.equal(network.features.conv0.weight, before)


def test_what_cannot_be_loaded_is_one_sentence_and_changes_nothing(tmp_path, published):
    lacking = {name: values for name, values in published.items() if "denseblock3" not in name}
    torch.save(lacking, tmp_path / "lacking.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"model": DenseNet121}, tmp_path / "pickle.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("no weights")
    network = DenseNet121(14, in_channels=3)
    before = network.features.conv0.weight.clone()
    for name, reason in {
        "lacking.pth": "no complete DenseNet-121",
        "list.pth": "no state_dict",
        "pickle.pth": "cannot be read as plain tensors",
        "text.pth": "cannot be read",
        "empty.pth": "cannot be read",
        "text.safetensors": "cannot be read",
        "absent.pth": "are missing",
    }.items():
        with pytest.raises(RecipeError, match=reason) as caught:
            load_pretrained(network, tmp_path / name)
        assert name in str(caught.value)
    assert torch.equal(network.features.conv0.weight, before)


def test_imagenet_is_torchvisions_file_with_its_hash(monkeypatch, published):
    asked = {}

    def download(url, **options):
        asked.update(options, url=url)
        return {old(name): values for name, values in published.items()}

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    report = load_pretrained(DenseNet121(), "imagenet")
    assert asked["url"].endswith("/densenet121-a639ec97.pth")
    assert asked["check_hash"] is True
    assert asked["weights_only"] is True
    assert report.left == ("classifier.weight", "classifier.bias")


@pytest.mark.parametrize("fault", [URLError("no route"), RuntimeError("invalid hash value"), TimeoutError()])
def test_a_download_that_fails_says_to_give_a_path(monkeypatch, fault):
    def download(url, **options):
        raise fault

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    with pytest.raises(RecipeError, match="give its path"):
        load_pretrained(DenseNet121(), "imagenet")


def test_names_of_other_networks_are_not_touched():
    assert our_name("encoder.0.0.weight") == "encoder.0.0.weight"
    assert our_name("module.features.transition1.norm.weight") == "features.transition1.norm.weight"


def test_the_same_weights_give_the_answer_of_monais_network(tmp_path):
    torch.manual_seed(2)
    reference = MonaiDenseNet121(spatial_dims=2, in_channels=1, out_channels=3).eval()
    state = {
        name.replace(".layers.", ".").replace("class_layers.out.", "classifier."): values
        for name, values in reference.state_dict().items()
    }
    torch.save(state, tmp_path / "monai.pth")
    network = DenseNet121(num_outputs=3).eval()
    assert load_pretrained(network, tmp_path / "monai.pth").left == ()
    image = torch.rand(2, 1, 96, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), reference(image), rtol=1e-4, atol=1e-5)
