"""ResNet-18 and ResNet-50 in plain torch, with torchvision's parameter names.

He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016; in the bottlenecks the 3 x 3 convolution
has the stride, as in torchvision. Its linear layer ``fc`` is called ``classifier`` here, as in all classifiers.
"""

import re
from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.classifier import Classifier, Pooling
from cxrscreen.nets.pretrained import fill_classifier

Depth = Literal[18, 50]

LAYERS: dict[Depth, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
STEM_FEATURES = 64
BOTTLENECK = 4
BLACK, WHITE = -1.0, 3.0
"""Grey values of the images that classifiers take here."""
PUBLISHED_MEAN, PUBLISHED_SPREAD = 0.449, 0.226
"""Mean over the three colours of the means and standard deviations that published weights were trained with."""


class ResNet(Classifier):
    """ResNet: features (stride 32, 512 or 2048 channels), average pooling, one linear layer.

    Parameters
    ----------
    depth
        18 (11.2 million parameters, the patch-voting paper's) or 50 (23.5 million).
    num_outputs
        Number of logits.
    dropout
        Probability of dropping a pooled feature while training.
    pooling
        See :class:`cxrscreen.nets.classifier.Classifier`.

    Notes
    -----
    Input float (N, 1, H, W) in [-1, 3], sides multiples of 32; output logits (N, num_outputs).
    """

    def __init__(self, depth: Depth, num_outputs: int, dropout: float = 0.0, pooling: Pooling = "image") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, STEM_FEATURES, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_FEATURES)
        expansion = 1 if depth == 18 else BOTTLENECK
        block = BasicBlock if depth == 18 else Bottleneck
        channels = STEM_FEATURES
        for index, (width, count) in enumerate(zip(WIDTHS, LAYERS[depth], strict=True), start=1):
            blocks: list[nn.Module] = []
            for number in range(count):
                blocks.append(block(channels, width, 2 if index > 1 and number == 0 else 1))
                channels = width * expansion
            self.add_module(f"layer{index}", nn.Sequential(*blocks))
        self.classifier = nn.Linear(channels, num_outputs)
        self.dropout = dropout
        self.pooling = pooling
        self.num_features, self.num_middle_features = channels, channels // 2
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 16, after the third group of blocks, and the last ones."""
        grey = ((x - BLACK) / (WHITE - BLACK) - PUBLISHED_MEAN) / PUBLISHED_SPREAD
        maps = F.max_pool2d(F.relu(self.bn1(self.conv1(grey))), 3, stride=2, padding=1)
        middle = self.get_submodule("layer3")(self.get_submodule("layer2")(self.get_submodule("layer1")(maps)))
        return middle, self.get_submodule("layer4")(middle)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, width, H / stride, W / stride)."""
        maps = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(maps + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 1 x 1 convolution to fewer channels, a 3 x 3 one, and one to four times the channels, beside a shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, BOTTLENECK * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(BOTTLENECK * width)
        self.downsample = _shortcut(in_channels, BOTTLENECK * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, 4 width, H / stride, W / stride)."""
        maps = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(maps)) + (x if self.downsample is None else self.downsample(x)))


def load_resnet_pretrained(network: ResNet, weights: str | Path) -> None:
    """Fill a network from a published checkpoint, its linear layer only where the number of outputs is the same.

    Parameters
    ----------
    network
        Changed in place, or not at all where an error is raised.
    weights
        ``"none"``: left as it is; or a path to a checkpoint with torchvision's names, or of this project. A stem of
        three colour channels is summed: the same answer as for a grey image copied to three channels.

    Raises
    ------
    RecipeError
        If the file is missing, or is no checkpoint of this network; for ``"imagenet"``, since no package carries these
        weights.
    """
    fill_classifier(
        network,
        weights,
        what="this ResNet",
        stem="conv1.weight",
        renamed=lambda name: re.sub(r"^fc\.", "classifier.", name),
    )


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
    )
