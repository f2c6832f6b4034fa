"""The networks that the recipes of comparison name: built as named, and filled from files in torchvision's layout."""

from pathlib import Path

import pytest
import torch

from cxrscreen.errors import RecipeError
from cxrscreen.nets import vgg
from cxrscreen.nets.mobilenet import MobileNetV2
from cxrscreen.nets.vgg import VGG
from cxrscreen.systems.comit_net.comparator_recipe import ClassifierComparator, load_comparator
from cxrscreen.systems.comit_net.comparators import initial_classifier

FOLDER = Path(__file__).parents[3] / "recipes" / "reproduce-comit-net"
RECIPES = sorted(FOLDER.rglob("*.yaml"))
CLASSIFIERS = [file for file in RECIPES if isinstance(load_comparator(file), ClassifierComparator)]
# torchvision's layouts: sizes of all tensors before the dense layers, with a stem of three colours.
PUBLISHED = {"mobilenetv2": 3_504_872 - 1280 * 1000 - 1000, "vgg19": 20_035_392}
STEMS = {"mobilenetv2": ("features.0.0.weight", 32), "vgg19": ("features.0.weight", 64)}


def comparator_of(name: str, **changes: object) -> ClassifierComparator:
    comparator = load_comparator(FOLDER / f"{name}.yaml")
    assert isinstance(comparator, ClassifierComparator)
    return comparator.model_copy(update=changes)


def in_published_layout(network: torch.nn.Module, stem: str, head: dict[str, tuple[int, ...]]) -> dict:
    """Random tensors under torchvision's names: three colours in the stem, 1000 classes."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for name, values in network.state_dict().items():
        if not name.startswith("classifier."):
            shape = (values.shape[0], 3, *values.shape[2:]) if name == stem else values.shape
            state[name] = torch.rand(shape, generator=generator) if values.is_floating_point() else values
    return state | {name: torch.rand(shape, generator=generator) for name, shape in head.items()}


@pytest.mark.parametrize("file", CLASSIFIERS, ids=lambda file: str(file.relative_to(FOLDER)))
def test_every_recipe_builds_what_it_names(file):
    comparator = load_comparator(file).model_copy(update={"weights": "none"})
    with torch.device("meta"):
        network = initial_classifier(comparator)
    assert network.classifier.out_features == 1
    assert network.dropout == comparator.dropout
    named = {"mobilenetv2": "MobileNetV2", "vgg19": "VGG", "resnet18": "ResNet", "densenet121": "DenseNet121"}
    assert type(network).__name__ == named[comparator.network]


@pytest.mark.parametrize("name", PUBLISHED)
def test_at_full_width_they_have_the_published_sizes(name):
    with torch.device("meta"):
        network = initial_classifier(comparator_of(name, width=1.0))
    features = sum(v.numel() for key, v in network.named_parameters() if not key.startswith("classifier."))
    _, channels = STEMS[name]
    assert features == PUBLISHED[name] - 2 * channels * 9


def test_vgg19_has_half_of_its_channels_in_the_recipe():
    with torch.device("meta"):
        network = initial_classifier(comparator_of("vgg19"))
    assert isinstance(network, VGG)
    assert network.counts == (2, 2, 4, 4, 4)
    assert network.widths == (32, 64, 128, 256, 256)


@pytest.mark.parametrize(
    ("name", "kind", "head"),
    [
        ("mobilenetv2", MobileNetV2, {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}),
        ("vgg19", VGG, {"classifier.0.weight": (4, 8), "classifier.6.weight": (1000, 4), "classifier.6.bias": (1000,)}),
    ],
)
def test_a_file_in_torchvisions_layout_fills_them(name, kind, head, tmp_path, monkeypatch):
    monkeypatch.setattr(vgg, "WIDTHS", (4, 4, 8, 8, 8))
    plain = initial_classifier(comparator_of(name, width=1.0))
    assert isinstance(plain, kind)
    stem, _ = STEMS[name]
    stored = in_published_layout(plain, stem, head)
    torch.save(stored, tmp_path / "published.pth")
    filled = initial_classifier(comparator_of(name, width=1.0, weights=str(tmp_path / "published.pth")))
    for key, values in filled.state_dict().items():
        if key == stem:
            # The three colours are summed, up to the scale of grey values.
            summed = stored[key].sum(dim=1, keepdim=True)
            torch.testing.assert_close(values / values.norm(), summed / summed.norm())
        elif not key.startswith("classifier."):
            assert torch.equal(values, stored[key]), key
    assert filled.classifier.out_features == 1


def test_published_weights_do_not_fit_half_of_the_channels(tmp_path, monkeypatch):
    monkeypatch.setattr(vgg, "WIDTHS", (4, 4, 8, 8, 8))
    stored = in_published_layout(VGG(19, 1), "features.0.weight", {"classifier.6.bias": (1000,)})
    torch.save(stored, tmp_path / "published.pth")
    with pytest.raises(RecipeError, match=r"published.pth are not those of this VGG"):
        initial_classifier(comparator_of("vgg19", weights=str(tmp_path / "published.pth")))


@pytest.mark.parametrize("name", ["unet", "segnet"])
def test_at_the_papers_sizes_masks_learn_by_adam_and_cross_entropy_alone(name):
    comparator = load_comparator(FOLDER / "paper" / f"{name}.yaml")
    (phase,) = comparator.phases
    assert not comparator.dice
    assert (comparator.momentum, phase.schedule, phase.epochs, phase.batch, phase.learning_rate) == (
        None,
        "plateau",
        25,
        4,
        1e-4,
    )


def test_at_the_papers_sizes_mask_rcnn_learns_by_gradient_descent():
    comparator = load_comparator(FOLDER / "paper" / "mask-rcnn.yaml")
    (phase,) = comparator.phases
    assert (comparator.momentum, phase.epochs, phase.batch, phase.learning_rate) == (0.9, 25, 16, 1e-3)
