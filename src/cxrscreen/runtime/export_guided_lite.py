"""Guided backpropagation of EfficientNet-Lite0 written out as a forward computation; see :mod:`.export_guided`."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.efficientnet_lite import (
    GREY_CENTRE,
    GREY_REACH,
    EfficientNetLite0,
    InvertedResidual,
    SamePaddedConv,
)
from cxrscreen.runtime.export_guided_rules import through_norm, through_relu6


class GuidedEfficientNetLite0(nn.Module):
    """Guided gradient of logit 0 of an EfficientNet-Lite0 with respect to the image.

    Parameters
    ----------
    network
        The classifier, used with its running statistics; its parameters are shared, not copied.

    Notes
    -----
    As :func:`cxrscreen.runtime.export_guided.guided_backpropagation` says, with K = 1280. The rule applies at every
    ReLU6; the linear ends of the blocks pass their ordinary gradient.
    """

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``guided``, ``logits``, ``features`` and ``pooled``."""
        network = self.network
        stem = F.relu6(network.bn0(network.conv_stem((image - GREY_CENTRE) / GREY_REACH)))
        x = stem
        tapes: list[tuple[InvertedResidual, list[Tensor]]] = []
        for block in network.blocks:
            assert isinstance(block, InvertedResidual)
            x, tape = _block_forward(block, x)
            tapes.append((block, tape))
        features = F.relu6(network.bn1(network.conv_head(x)))
        pooled = network.pool(features, image)
        logits = network.classifier(pooled)

        share = network.classifier.weight[0][None, :, None, None] * network.weights_of_places(image)
        gradient = through_norm(network.bn1, through_relu6(features, share))
        gradient = _through_conv(network.conv_head, x, gradient)
        for block, tape in reversed(tapes):
            gradient = _block_backward(block, tape, gradient)
        gradient = through_norm(network.bn0, through_relu6(stem, gradient))
        return _through_conv(network.conv_stem, image, gradient) / GREY_REACH, logits, features, pooled


def _block_forward(block: InvertedResidual, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Output of a block, and what its layers read: its input, the expanded maps and the filtered ones."""
    expanded = F.relu6(block.bn0(block.expand_conv(x))) if block.expands else x
    filtered = F.relu6(block.bn1(block.depthwise_conv(expanded)))
    maps = block.bn2(block.project_conv(filtered))
    return maps + x if block.adds else maps, [x, expanded, filtered]


def _block_backward(block: InvertedResidual, tape: Sequence[Tensor], gradient: Tensor) -> Tensor:
    """Gradient at a block's input; what was added to its output passes by."""
    x, expanded, filtered = tape
    new = _through_conv(block.project_conv, filtered, through_norm(block.bn2, gradient))
    new = _through_conv(block.depthwise_conv, expanded, through_norm(block.bn1, through_relu6(filtered, new)))
    if block.expands:
        new = _through_conv(block.expand_conv, x, through_norm(block.bn0, through_relu6(expanded, new)))
    return new + gradient if block.adds else new


def _through_conv(conv: SamePaddedConv, read: Tensor, gradient: Tensor) -> Tensor:
    """Gradient at the input ``read`` of a convolution: that of the padded input, without what was padded."""
    whole = F.conv_transpose2d(gradient, conv.weight, stride=conv.stride, groups=conv.groups)
    if conv.kernel_size[0] == 1:
        return whole
    left, right, above, below = conv.pads(read.shape[2], read.shape[3])
    return F.pad(whole, (-left, -right, -above, -below))
