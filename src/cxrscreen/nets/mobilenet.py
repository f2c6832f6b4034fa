"""MobileNetV2 in plain torch, with torchvision's parameter names.

Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: Inverted residuals and linear bottlenecks, CVPR 2018. Its linear
layer ``classifier.1`` is called ``classifier`` here, as in all classifiers.
"""

import re
from pathlib import Path

from torch import Tensor, nn

from cxrscreen.nets.classifier import Classifier, Pooling
from cxrscreen.nets.depthwise import DepthwiseConv
from cxrscreen.nets.pretrained import fill_classifier
from cxrscreen.nets.resnet import BLACK, PUBLISHED_MEAN, PUBLISHED_SPREAD, WHITE

STEM_FEATURES, FEATURES = 32, 1280
STAGES = (
    # Expansion, output channels, blocks, stride of the first.
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MIDDLE, MIDDLE_FEATURES = 14, 96
"""So many of the layers stay at stride 16, and the channels that they end with."""
STEM = "features.0.0.weight"


class MobileNetV2(Classifier):
    """MobileNetV2 of width 1: features (stride 32, 1280 channels), average pooling, one linear layer.

    Parameters
    ----------
    num_outputs
        Number of logits.
    dropout
        Probability of dropping a pooled feature while training; published: 0.2.
    pooling
        See :class:`cxrscreen.nets.classifier.Classifier`.

    Notes
    -----
    Input float (N, 1, H, W) in [-1, 3], sides multiples of 32; output logits (N, num_outputs).
    """

    def __init__(self, num_outputs: int, dropout: float = 0.0, pooling: Pooling = "image") -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormClip(nn.Conv2d(1, STEM_FEATURES, 3, stride=2, padding=1, bias=False))]
        channels = STEM_FEATURES
        for expansion, out, count, stride in STAGES:
            for index in range(count):
                layers.append(InvertedResidual(channels, out, stride if index == 0 else 1, expansion))
                channels = out
        layers.append(_pointwise(channels, FEATURES))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(FEATURES, num_outputs)
        self.dropout = dropout
        self.pooling = pooling
        self.num_features, self.num_middle_features = FEATURES, MIDDLE_FEATURES
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 16, of 96 channels, and the last ones, (N, 1280, H/32, W/32)."""
        grey = ((x - BLACK) / (WHITE - BLACK) - PUBLISHED_MEAN) / PUBLISHED_SPREAD
        middle = self.features[:MIDDLE](grey)
        return middle, self.features[MIDDLE:](middle)


class ConvNormClip(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU6."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6(inplace=True))


def _pointwise(in_channels: int, out_channels: int) -> ConvNormClip:
    return ConvNormClip(nn.Conv2d(in_channels, out_channels, 1, bias=False))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project back linearly; added to its input where the shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_pointwise(in_channels, wide)]
        layers += [
            ConvNormClip(DepthwiseConv(wide, 3, stride, 1)),
            nn.Conv2d(wide, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, out_channels, H / stride, W / stride)."""
        maps: Tensor = self.conv(x)
        return maps + x if self.adds else maps


def load_mobilenet_pretrained(network: MobileNetV2, weights: str | Path) -> None:
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
        what="MobileNetV2",
        stem=STEM,
        renamed=lambda name: re.sub(r"^classifier\.1\.", "classifier.", name),
    )
