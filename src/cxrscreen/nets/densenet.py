"""DenseNet-121 in plain torch, with torchvision's parameter names.

Huang, Liu, van der Maaten, Weinberger: Densely connected convolutional networks, CVPR 2017.
Published ImageNet and CheXNet checkpoints load by name (see :mod:`cxrscreen.nets.pretrained`).
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.classifier import Classifier, Pooling

GROWTH_RATE = 32
BLOCK_LAYERS = (6, 12, 24, 16)
STEM_FEATURES = 64
BOTTLENECK = 4
MIDDLE_BLOCK = 3
"""The last dense block at stride 16."""


class DenseNet121(Classifier):
    """DenseNet-121: features (stride 32, 1024 channels), average pooling, one linear layer.

    Parameters
    ----------
    num_outputs
        Number of logits.
    in_channels
        1 for grey images (the house default), 3 for the published stems.
    dropout
        Probability of dropping a pooled feature before the linear layer while training.
    pooling
        ``"image"``, as published, or ``"lungs"``; see :class:`cxrscreen.nets.classifier.Classifier`.

    Notes
    -----
    Input float (N, in_channels, H, W), sides of at least 32 pixels; output logits (N, num_outputs).
    """

    def __init__(
        self, num_outputs: int = 1, in_channels: int = 1, dropout: float = 0.0, pooling: Pooling = "image"
    ) -> None:
        super().__init__()
        features: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(in_channels, STEM_FEATURES, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(STEM_FEATURES),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels = middle = STEM_FEATURES
        for index, layers in enumerate(BLOCK_LAYERS, start=1):
            features[f"denseblock{index}"] = DenseBlock(layers, channels)
            channels += layers * GROWTH_RATE
            if index == MIDDLE_BLOCK:
                middle = channels
            if index < len(BLOCK_LAYERS):
                features[f"transition{index}"] = Transition(channels, channels // 2)
                channels //= 2
        features["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(features)
        self.classifier = nn.Linear(channels, num_outputs)
        self.dropout = dropout
        self.pooling = pooling
        self.num_features, self.num_middle_features = channels, middle
        _initialise(self)

    def feature_maps(self, x: Tensor) -> Tensor:
        """Last feature maps after the final ReLU, (N, 1024, H/32, W/32): what CAM and Grad-CAM read."""
        return F.relu(self.features(x))

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 16, after the third block, and the last ones: 1024 channels each."""
        middle = x
        for name, part in self.features.named_children():
            x = part(x)
            if name == f"denseblock{MIDDLE_BLOCK}":
                middle = x
        return middle, F.relu(x)


class DenseBlock(nn.ModuleDict):
    """Layers that each see all maps before them; adds ``layers * 32`` channels."""

    def __init__(self, layers: int, in_channels: int) -> None:
        super().__init__()
        for index in range(layers):
            self[f"denselayer{index + 1}"] = DenseLayer(in_channels + index * GROWTH_RATE)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenation of the input and each layer's 32 new maps."""
        maps = [x]
        for layer in self.values():
            maps.append(layer(maps))
        return torch.cat(maps, dim=1)


class DenseLayer(nn.Module):
    """Norm, ReLU, 1 x 1 convolution to 128 maps, norm, ReLU, 3 x 3 convolution to 32 maps."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        width = BOTTLENECK * GROWTH_RATE
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, GROWTH_RATE, 3, padding=1, bias=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """32 new maps from all maps so far."""
        x = self.conv1(F.relu(self.norm1(torch.cat(list(maps), dim=1))))
        y: Tensor = self.conv2(F.relu(self.norm2(x)))
        return y


class Transition(nn.Sequential):
    """Norm, ReLU, 1 x 1 convolution, 2 x 2 average pooling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(in_channels),
                relu=nn.ReLU(inplace=True),
                conv=nn.Conv2d(in_channels, out_channels, 1, bias=False),
                pool=nn.AvgPool2d(2, stride=2),
            )
        )


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
