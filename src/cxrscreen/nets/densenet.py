"""DenseNet-121 in plain torch, with torchvision's parameter names.

Huang, Liu, van der Maaten, Weinberger: Densely connected convolutional networks, CVPR 2017.
Published ImageNet and CheXNet checkpoints load by name (see :mod:`cxrscreen.nets.pretrained`).
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROWTH_RATE = 32
BLOCK_LAYERS = (6, 12, 24, 16)
STEM_FEATURES = 64
BOTTLENECK = 4
STRIDE = 32
FEATURES = 1024
"""Channels of the feature maps at stride 16 and of the last ones."""
BACKGROUND = -1.0
"""Grey value that a filtered radiograph has where there is no lung."""

Pooling = Literal["image", "lungs"]


class DenseNet121(nn.Module):
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
        ``"image"``: the mean over all places, as published. ``"lungs"``: the mean over the places where the input is
        not background, so that nothing but lung speaks for a class; see :func:`place_weights`.

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
        channels = STEM_FEATURES
        for index, layers in enumerate(BLOCK_LAYERS, start=1):
            features[f"denseblock{index}"] = DenseBlock(layers, channels)
            channels += layers * GROWTH_RATE
            if index < len(BLOCK_LAYERS):
                features[f"transition{index}"] = Transition(channels, channels // 2)
                channels //= 2
        features["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(features)
        self.classifier = nn.Linear(channels, num_outputs)
        self.dropout = dropout
        self.pooling: Pooling = pooling
        _initialise(self)

    def feature_maps(self, x: Tensor) -> Tensor:
        """Last feature maps after the final ReLU, (N, 1024, H/32, W/32): what CAM and Grad-CAM read."""
        return F.relu(self.features(x))

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 16, after the third block, and the last ones: 1024 channels each."""
        middle = x
        for name, part in self.features.named_children():
            x = part(x)
            if name == "denseblock3":
                middle = x
        return middle, F.relu(x)

    def weights_of_places(self, x: Tensor) -> Tensor:
        """How much each place of the feature maps counts for the image ``x``, (N, 1, H/32, W/32), sum 1."""
        if self.pooling == "lungs":
            return place_weights(x)
        rows, columns = x.shape[2] // STRIDE, x.shape[3] // STRIDE
        return x.new_full((x.shape[0], 1, rows, columns), 1.0 / (rows * columns))

    def pool(self, features: Tensor, x: Tensor) -> Tensor:
        """Pooled features (N, 1024) of the feature maps of the image ``x``."""
        if self.pooling == "image":
            return features.mean(dim=(2, 3))
        return (features * self.weights_of_places(x)).sum(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_outputs)."""
        return self.decide(self.feature_maps(x), x)

    def decide(self, features: Tensor, x: Tensor) -> Tensor:
        """Logits (N, num_outputs) from the last feature maps of the image ``x``."""
        pooled = self.pool(features, x)
        logits: Tensor = self.classifier(F.dropout(pooled, self.dropout, self.training))
        return logits


def place_weights(x: Tensor, stride: int = STRIDE) -> Tensor:
    """Share of all lung pixels that lies under each place of the feature maps.

    Parameters
    ----------
    x
        float (N, C, H, W), :data:`BACKGROUND` in all channels outside the lungs.
    stride
        Of the feature maps.

    Returns
    -------
    Tensor
        float (N, 1, H // stride, W // stride), sum 1; zeros for an image without lung, whose logit is then the bias.
    """
    lung = (x.amax(dim=1, keepdim=True) > BACKGROUND + 1e-3).to(x.dtype)
    share = F.avg_pool2d(lung, stride)
    return share / share.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)


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
