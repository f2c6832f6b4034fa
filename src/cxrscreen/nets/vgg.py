"""VGG-16 and VGG-19 with batch normalisation in plain torch, with torchvision's parameter names.

Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition, ICLR 2015. The dense layers,
which hold nine tenths of the published weights, are replaced by average pooling and one linear layer.
"""

from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.classifier import Classifier, Pooling
from cxrscreen.nets.pretrained import fill_classifier
from cxrscreen.nets.resnet import BLACK, PUBLISHED_MEAN, PUBLISHED_SPREAD, WHITE

Depth = Literal[16, 19]

BLOCKS: dict[Depth, tuple[int, ...]] = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each of the five blocks; the maximum over 2 x 2 follows each block."""
WIDTHS = (64, 128, 256, 512, 512)


class VGG(Classifier):
    """VGG with batch normalisation: features (stride 32, 512 channels), average pooling, one linear layer.

    Parameters
    ----------
    depth
        16 (14.7 million parameters before the linear layer) or 19 (20.0 million).
    num_outputs
        Number of logits.
    dropout
        Probability of dropping a pooled feature while training.
    pooling
        See :class:`cxrscreen.nets.classifier.Classifier`.
    width
        Factor of all channels; published weights fit 1 alone.

    Notes
    -----
    Input float (N, 1, H, W) in [-1, 3], sides multiples of 32; output logits (N, num_outputs). The published networks
    take three colours: of a grey image copied to three channels they see what this one sees of it, since its stem is
    the sum of theirs over the colours.
    """

    def __init__(
        self, depth: Depth, num_outputs: int, dropout: float = 0.0, pooling: Pooling = "image", width: float = 1.0
    ) -> None:
        super().__init__()
        self.counts = BLOCKS[depth]
        self.widths = tuple(max(1, round(width * channels)) for channels in WIDTHS)
        layers: list[nn.Module] = []
        channels = 1
        for count, wide in zip(self.counts, self.widths, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
                channels = wide
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_outputs)
        self.dropout, self.pooling = dropout, pooling
        self.num_features, self.num_middle_features = self.widths[4], self.widths[3]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.classifier.bias)

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of the five blocks before their pooling, at strides 1 to 16, and the last ones at stride 32."""
        maps = ((x - BLACK) / (WHITE - BLACK) - PUBLISHED_MEAN) / PUBLISHED_SPREAD
        found = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(maps)
            maps = layer(maps)
        return (*found, maps)

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 16, behind the fourth block, and the last ones, (N, 512, H/32, W/32)."""
        levels = self.levels(x)
        return F.max_pool2d(levels[3], 2), levels[5]


def load_vgg_pretrained(network: VGG, weights: str | Path) -> None:
    """Fill a network from a published checkpoint, its linear layer only where the file is one of this project.

    Parameters
    ----------
    network
        Changed in place, or not at all where an error is raised.
    weights
        ``"none"``: left as it is; or a path to a checkpoint with torchvision's names (``vgg16_bn``, ``vgg19_bn``),
        with or without DataParallel's ``module.``, or of this project. A stem of three colours is summed.

    Raises
    ------
    RecipeError
        If the file is missing, or is no checkpoint of this network; for ``"imagenet"``, since no package carries these
        weights.
    """
    fill_classifier(network, weights, what="this VGG with batch normalisation", stem="features.0.weight")
