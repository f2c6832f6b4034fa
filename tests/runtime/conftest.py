"""A short DenseNet and a narrow U-Net, exported once: the same parts as the full networks, fewer of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cxrscreen.nets import densenet
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.unet import UNet
from cxrscreen.runtime.export import export_classifier, export_guided, export_segmenter

SIDE = 64
SHORT = (2, 1, 1, 2)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what exports and compiles networks to ``make test-training``; full sizes have a target of their own."""
    for item in items:
        exports = item.path.name.startswith("test_export") or item.path.name == "test_torch_engine.py"
        exports |= bool({"exports", "exported"} & set(getattr(item, "fixturenames", ())))
        if item.path.parent.name == "runtime" and exports and item.get_closest_marker("full_size") is None:
            item.add_marker("trains")


@dataclass(frozen=True)
class Exported:
    folder: Path
    classifier: DenseNet121
    segmenter: UNet


def settled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics and scales as after a training, so that a wrong normalisation shows."""
    generator = torch.Generator().manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
            part.bias.data.normal_(0, 0.2, generator=generator)
        elif isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            part.weight.data.normal_(0, (2 / part.weight[0].numel()) ** 0.5, generator=generator)
            # What float16 keeps, so that torch and the exported files compute with the same numbers.
            part.weight.data = part.weight.data.half().float()
    return network.eval()


def masked_image(channels: int = 1, seed: int = 0, batch: int = 1) -> NDArray[np.float32]:
    """Noise in the middle, flat outside: flat windows have more than one maximum."""
    image = np.zeros((batch, channels, SIDE, SIDE), np.float32)
    inner = slice(SIDE // 4, -SIDE // 4)
    image[:, :, inner, inner] = np.random.default_rng(seed).random(image[:, :, inner, inner].shape, np.float32)
    return image


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(densenet, "BLOCK_LAYERS", SHORT)
        classifier, segmenter = DenseNet121(num_outputs=2), UNet(width=4)
        settled(classifier)
        settled(segmenter)
        export_classifier(classifier, SIDE, folder / "stage.safetensors", folder / "stage.onnx")
        export_guided(classifier, SIDE, folder / "stage.safetensors", folder / "guided.onnx")
        export_segmenter(segmenter, SIDE, folder / "lungs.safetensors", folder / "lungs.onnx")
    return Exported(folder, classifier, segmenter)


@pytest.fixture
def exported(exports: Exported, monkeypatch: pytest.MonkeyPatch) -> Exported:
    """The exported networks, and a ``DenseNet121`` that is as short as they are."""
    monkeypatch.setattr(densenet, "BLOCK_LAYERS", SHORT)
    return exports
