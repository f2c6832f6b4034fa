"""Fully convolutional DenseNets ("Tiramisu") in plain torch.

Jégou, Drozdzal, Vazquez, Romero, Bengio: The one hundred layers Tiramisu: fully convolutional DenseNets for semantic
segmentation, CVPR workshops 2017.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Depth = Literal[67, 103]

LAYERS: dict[Depth, tuple[tuple[int, ...], int]] = {67: ((5,) * 5, 5), 103: ((4, 5, 7, 10, 12), 15)}
"""Layers of the blocks on the way down (mirrored on the way up) and of the one at the bottom, by depth."""
GROWTH_RATE = 16
STEM_FEATURES = 48
DROPOUT = 0.2


class FCDenseNet(nn.Module):
    """Encoder and decoder of dense blocks with skip connections.

    Parameters
    ----------
    depth
        103, as in the patch-voting paper, or 67.
    num_outputs
        Channels of the output logits.
    in_channels
        1 for grey images.

    Notes
    -----
    Input float (N, in_channels, H, W), H and W multiples of 32; output logits (N, num_outputs, H, W). Published sizes:
    9.4 million parameters (103) and 3.5 million (67).
    """

    def __init__(self, depth: Depth = 103, num_outputs: int = 4, in_channels: int = 1) -> None:
        super().__init__()
        down, bottom = LAYERS[depth]
        self.stem = nn.Conv2d(in_channels, STEM_FEATURES, 3, padding=1)
        self.down, self.transitions = nn.ModuleList(), nn.ModuleList()
        self.up, self.upsampling = nn.ModuleList(), nn.ModuleList()
        channels, skips = STEM_FEATURES, []
        for layers in down:
            self.down.append(DenseBlock(layers, channels))
            channels += layers * GROWTH_RATE
            skips.append(channels)
            self.transitions.append(TransitionDown(channels))
        self.bottom = DenseBlock(bottom, channels)
        # Only what a block has newly made goes on upwards: the rest comes back by the skip connections.
        new = bottom * GROWTH_RATE
        for layers, skip in zip(reversed(down), reversed(skips), strict=True):
            self.upsampling.append(nn.ConvTranspose2d(new, new, 3, stride=2, padding=1, output_padding=1))
            channels = skip + new
            self.up.append(DenseBlock(layers, channels))
            new = layers * GROWTH_RATE
        self.head = nn.Conv2d(channels + new, num_outputs, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_outputs, H, W)."""
        x = self.stem(x)
        skips: list[Tensor] = []
        for block, transition in zip(self.down, self.transitions, strict=True):
            x = torch.cat([x, block(x)], dim=1)
            skips.append(x)
            x = transition(x)
        new = self.bottom(x)
        for upsample, block in zip(self.upsampling, self.up, strict=True):
            x = torch.cat([upsample(new), skips.pop()], dim=1)
            new = block(x)
        logits: Tensor = self.head(torch.cat([x, new], dim=1))
        return logits


class DenseBlock(nn.Module):
    """Layers that each see the input and all features made before; gives the newly made ones."""

    def __init__(self, layers: int, in_channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(in_channels + index * GROWTH_RATE) for index in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """New features (N, layers x 16, H, W)."""
        new: list[Tensor] = []
        for layer in self.layers:
            new.append(layer(torch.cat([x, *new], dim=1)))
        return torch.cat(new, dim=1)


class DenseLayer(nn.Module):
    """Batch normalisation, ReLU, 3 x 3 convolution to 16 channels, dropout."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, GROWTH_RATE, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """New features (N, 16, H, W)."""
        return F.dropout2d(self.conv(F.relu(self.norm(x), inplace=True)), DROPOUT, self.training)


class TransitionDown(nn.Module):
    """Batch normalisation, ReLU, 1 x 1 convolution, dropout, and the maximum over 2 x 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, channels, H/2, W/2)."""
        return F.max_pool2d(F.dropout2d(self.conv(F.relu(self.norm(x), inplace=True)), DROPOUT, self.training), 2)
