"""COMiT-Net: one encoder, a decoder each for lungs and disease, two branches of dense layers (its paper's Fig. 3)."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.efficientnet_lite import GREY_CENTRE, GREY_REACH, EfficientNetLite0
from cxrscreen.nets.vgg import VGG

Task = Literal["lungs", "disease", "health", "diagnosis"]
TASKS: tuple[Task, ...] = ("lungs", "disease", "health", "diagnosis")
"""Tasks t1 to t4 of the paper: lung mask, disease region, healthy or not, COVID-19 and other disease."""
Joins = Literal["positions", "maps"]


class Outputs(NamedTuple):
    """What the network gives for N images; None for a task that it does not have.

    Parameters
    ----------
    lungs, disease
        Logits (N, 2, H, W) of background and foreground, for a softmax.
    health
        Logits (N, 2) of healthy and unhealthy, for a softmax (Eq. 4).
    diagnosis
        Logits (N, 2) of COVID-19 and of other disease, each for a sigmoid (Eq. 6).
    features
        Last maps of the encoder, not negative, (N, K, H/32, W/32).
    pooled
        Their mean over all places, (N, K): the embedding of the image.
    """

    lungs: Tensor | None
    disease: Tensor | None
    health: Tensor | None
    diagnosis: Tensor | None
    features: Tensor
    pooled: Tensor


class ComitNet(nn.Module):
    """The multi-task network.

    Parameters
    ----------
    encoder
        :class:`VggEncoder` (the paper's) or :class:`LiteEncoder`.
    widths
        Channels of a decoder from its finest to its deepest resolution; None: the encoder's own, mirrored.
    counts
        Convolutions of a decoder at each resolution; None: as many as the encoder's blocks have.
    joins
        What a decoder takes from the encoder beside its result. ``positions``: where each maximum lay that the encoder
        kept (SegNet, the paper's reference 27). ``maps``: the encoder's maps themselves (U-Net).
    nodes
        Nodes of the first two dense layers of each branch; the paper gives no numbers.
    dropout
        Probability of dropping an embedding's value before the branches while training.
    tasks
        Which of :data:`TASKS` the network has (the paper's Table 5).

    Raises
    ------
    ValueError
        If positions are asked for where a decoder does not mirror its encoder.

    Notes
    -----
    Input float (N, 1, H, W) in [-1, 3], sides multiples of 32; the paper's three channels are copies of one grey image,
    whose convolution one channel with the summed kernel gives as well.
    """

    def __init__(
        self,
        encoder: "Encoder",
        *,
        widths: Sequence[int] | None = None,
        counts: Sequence[int] | None = None,
        joins: Joins = "positions",
        nodes: tuple[int, int] = (256, 64),
        dropout: float = 0.0,
        tasks: Collection[Task] = TASKS,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = dropout

        def decoder() -> Decoder:
            return Decoder(encoder.channels, widths or encoder.channels[:-1], counts or encoder.counts, joins)

        self.lungs = decoder() if "lungs" in tasks else None
        self.disease = decoder() if "disease" in tasks else None
        features = encoder.channels[-1]
        self.health = DenseBranch(features, nodes) if "health" in tasks else None
        self.diagnosis = DenseBranch(features, nodes) if "diagnosis" in tasks else None

    def forward(self, x: Tensor) -> Outputs:
        """All tasks at once."""
        levels = self.encoder.levels(x)
        pooled = levels[-1].mean(dim=(2, 3))
        # Left out and not turned off where nothing is dropped: a copy would take the output's name in exported graphs.
        embedding = F.dropout(pooled, self.dropout) if self.training and self.dropout > 0 else pooled
        size = (x.shape[2], x.shape[3])
        return Outputs(
            lungs=None if self.lungs is None else self.lungs(levels, size),
            disease=None if self.disease is None else self.disease(levels, size),
            health=None if self.health is None else self.health(embedding),
            diagnosis=None if self.diagnosis is None else self.diagnosis(embedding),
            features=levels[-1],
            pooled=pooled,
        )


class DenseBranch(nn.Module):
    """Three dense layers, the first two rectified, to two logits (section 2.2)."""

    def __init__(self, features: int, nodes: tuple[int, int]) -> None:
        super().__init__()
        self.first = nn.Linear(features, nodes[0])
        self.second = nn.Linear(nodes[0], nodes[1])
        self.last = nn.Linear(nodes[1], 2)
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.last.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (N, 2) of embeddings (N, K)."""
        logits: Tensor = self.last(F.relu(self.second(F.relu(self.first(embedding)))))
        return logits


class Decoder(nn.Module):
    """From the encoder's last maps back to the image's size: double, join, convolve, at each resolution.

    Parameters
    ----------
    channels
        Of the encoder's levels, finest first, its last maps at the end.
    widths, counts, joins
        See :class:`ComitNet`; from the finest resolution to the deepest.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int], counts: Sequence[int], joins: Joins) -> None:
        super().__init__()
        self.joins = joins
        if joins == "positions" and tuple(widths) != tuple(channels[:-1]):
            raise ValueError("a decoder that puts maxima back has the encoder's own widths")
        self.reduce = None if channels[-1] == widths[-1] else nn.Conv2d(channels[-1], widths[-1], 1)
        blocks = []
        for level, (wide, count) in enumerate(zip(widths, counts, strict=True)):
            narrow = widths[max(level - 1, 0)]
            first = wide + (channels[level] if joins == "maps" else 0)
            sizes = [first, *[wide] * (count - 1), narrow]
            blocks.append(nn.Sequential(*(_Convolved(a, b) for a, b in pairwise(sizes))))
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Logits (N, 2, H, W) of background and foreground."""
        values = levels[-1] if self.reduce is None else self.reduce(levels[-1])
        for level in reversed(range(len(self.blocks))):
            maps = levels[level]
            if self.joins == "positions":
                values = unpool(values, maps)
            else:
                values = torch.cat([F.interpolate(values, scale_factor=2.0, mode="nearest"), maps], dim=1)
            values = self.blocks[level](values)
        logits: Tensor = self.head(values)
        # An encoder whose first maps are at stride 2 has nothing finer to join.
        if logits.shape[2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits


def unpool(values: Tensor, maps: Tensor) -> Tensor:
    """Double maps and keep their values where the encoder's maximum over 2 x 2 lay, zero elsewhere.

    Where several of the four places share the maximum, as in a window of zeros, the first of them in reading order
    gets the value, as with SegNet's stored index. Written with operations that every runtime has; putting values at an
    index is none of these.

    Parameters
    ----------
    values
        float (N, C, h, w).
    maps
        float (N, C, 2h, 2w), from before the encoder's pooling.

    Returns
    -------
    Tensor
        float (N, C, 2h, 2w).
    """
    peaks = F.max_pool2d(maps, 2)
    free, places = torch.ones_like(values), []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        here = free * (maps[..., row::2, column::2] >= peaks).to(values.dtype)
        places.append(values * here)
        free = free - here
    return F.pixel_shuffle(torch.stack(places, dim=2).flatten(1, 2), 2)


class Encoder(nn.Module, ABC):
    """What a :class:`ComitNet` builds upon.

    Attributes
    ----------
    channels
        Of the maps that :meth:`levels` gives, finest first.
    counts
        Convolutions of a mirrored decoder at each resolution.
    """

    channels: tuple[int, ...]
    counts: tuple[int, ...]

    @abstractmethod
    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of falling resolution, not all at every stride; the last ones at stride 32 and not negative."""


class VggEncoder(Encoder):
    """VGG without its linear layer: maps at strides 1, 2, 4, 8, 16 and 32."""

    def __init__(self, backbone: VGG) -> None:
        super().__init__()
        self.backbone = backbone
        del self.backbone.classifier
        self.channels, self.counts = (*backbone.widths, backbone.widths[-1]), backbone.counts

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of the five blocks before their pooling, and the last ones."""
        return self.backbone.levels(x)


class LiteEncoder(Encoder):
    """EfficientNet-Lite0 without its linear layer: maps at strides 2, 4, 8, 16 and 32, for machines without a GPU."""

    def __init__(self, backbone: EfficientNetLite0) -> None:
        super().__init__()
        self.backbone = backbone
        del self.backbone.classifier
        # Blocks that halve their input: what goes into them is the last of its resolution.
        self.halving = tuple(
            index
            for index, block in enumerate(backbone.blocks)
            if block.get_submodule("depthwise_conv").stride[0] == 2  # type: ignore[index]
        )
        before = [backbone.blocks[index - 1].get_submodule("project_conv") for index in self.halving]
        self.channels = (*(int(layer.out_channels) for layer in before), backbone.num_features)  # type: ignore[arg-type]
        self.counts = (1,) * len(before)

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """The last maps of each resolution."""
        network = self.backbone
        maps = F.relu6(network.bn0(network.conv_stem((x - GREY_CENTRE) / GREY_REACH)))
        found = []
        for index, block in enumerate(network.blocks):
            if index in self.halving:
                found.append(maps)
            maps = block(maps)
        return (*found, F.relu6(network.bn1(network.conv_head(maps))))


class _Convolved(nn.Sequential):
    """3 x 3 convolution, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
