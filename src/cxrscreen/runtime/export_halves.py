"""A classifier in two graphs: early layers for a whole image, late ones for each patch of it."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.efficientnet_lite import GREY_CENTRE, GREY_REACH, EfficientNetLite0, InvertedResidual
from cxrscreen.runtime.export import CLASSIFIER_OUTPUTS, export_graph

EARLY_OUTPUT = "maps"
"""The one output of an early half."""
STRIDES = (8, 16)
"""Where a network may be parted: pixels of the input for each place of the maps."""


def export_halves(
    network: Classifier, whole: int, side: int, stride: int, weights: Path, early: Path, late: Path
) -> bool:
    """Write the two graphs of a classifier that is parted before its maps are coarser than ``stride``.

    The graphs, with s the stride: ``image`` float32 (N, 1, whole, whole) -> ``maps`` (N, C, whole/s, whole/s); and
    ``image``, a patch's part of the maps, float32 (N, C, side/s, side/s) -> ``logits``, ``features``, ``pooled`` as
    :func:`~cxrscreen.runtime.export.export_classifier` describes them.

    Parameters
    ----------
    network
        The trained network; left as it was.
    whole, side
        Sides of the whole image and of a patch at the network's input, pixels, multiples of 32.
    stride
        Pixels of the input for each place of the maps, 8 or 16.
    weights
        The safetensors file to write, the same bytes as that of the undivided network.
    early, late
        The ONNX files to write, in the same folder.

    Returns
    -------
    bool
        False where this network is not parted and nothing was written: all but EfficientNet-Lite0, and pooling over the
        lungs, which the late half does not see.

    Raises
    ------
    RecipeError
        If the files lie in different folders.
    """
    if not isinstance(network, EfficientNetLite0) or network.pooling != "image":
        return False
    count, channels = _early_blocks(network, stride)
    places = side // stride
    about: dict[str, str] = {"pooling": network.pooling}
    # The exporter takes a batch of one for a constant.
    export_graph(EarlyHalf(network, count), torch.zeros(2, 1, whole, whole), (EARLY_OUTPUT,), weights, early, about)
    maps = torch.zeros(2, channels, places, places)
    export_graph(LateHalf(network, count), maps, CLASSIFIER_OUTPUTS, weights, late, about)
    return True


def half_of(network: EfficientNetLite0, channels: int, stride: int | None) -> nn.Module:
    """The half that a graph holds, to be run by torch.

    Parameters
    ----------
    network
        The undivided network.
    channels
        Of the graph's input.
    stride
        Of the maps that an early half ends in; None for a late half, whose input's channels tell where it was parted.
    """
    if stride is not None:
        return EarlyHalf(network, _early_blocks(network, stride)[0])
    parted = (_early_blocks(network, finest) for finest in STRIDES)
    return LateHalf(network, next(count for count, own in parted if own == channels))


def _early_blocks(network: EfficientNetLite0, finest: int) -> tuple[int, int]:
    """How many blocks come before the maps are coarser than a stride, and the channels they end in."""
    stride, channels = 2, network.conv_stem.out_channels
    for index, block in enumerate(network.blocks):
        assert isinstance(block, InvertedResidual)
        stride *= block.depthwise_conv.stride[0]
        if stride > finest:
            return index, channels
        channels = block.project_conv.out_channels
    return len(network.blocks), channels


class EarlyHalf(nn.Module):
    """The layers before the parting: maps, in a tuple, of a whole image."""

    def __init__(self, network: EfficientNetLite0, count: int) -> None:
        super().__init__()
        self.network, self.count = network, count

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Run them on float (N, 1, whole, whole)."""
        network = self.network
        maps = F.relu6(network.bn0(network.conv_stem((image - GREY_CENTRE) / GREY_REACH)))
        for block in network.blocks[: self.count]:
            maps = block(maps)
        return (maps,)


class LateHalf(nn.Module):
    """The layers behind the parting: logits, features and their pooled values, of a patch's part of the maps."""

    def __init__(self, network: EfficientNetLite0, count: int) -> None:
        super().__init__()
        self.network, self.count = network, count

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run them on float (N, C, side/s, side/s)."""
        network, maps = self.network, image
        for block in network.blocks[self.count :]:
            maps = block(maps)
        features = F.relu6(network.bn1(network.conv_head(maps)))
        pooled = features.mean(dim=(2, 3))
        return network.classifier(pooled), features, pooled
