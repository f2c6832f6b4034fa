"""Guided backpropagation of DenseNet-121 written out as a forward computation; see :mod:`.export_guided`."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.densenet import DenseBlock, DenseLayer, DenseNet121, Transition
from cxrscreen.runtime.export_guided_rules import through_norm, through_relu


class GuidedDenseNet121(nn.Module):
    """Guided gradient of logit 0 of a DenseNet-121 with respect to the image.

    Parameters
    ----------
    network
        The classifier, used with its running statistics; its parameters are shared, not copied.

    Notes
    -----
    As :func:`cxrscreen.runtime.export_guided.guided_backpropagation` says, with K = 1024.
    """

    def __init__(self, network: DenseNet121) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``guided``, ``logits``, ``features`` and ``pooled``."""
        layers = self.network.features
        conv0, norm0, norm5 = layers.conv0, layers.norm0, layers.norm5
        assert isinstance(conv0, nn.Conv2d)
        assert isinstance(norm0, nn.BatchNorm2d)
        assert isinstance(norm5, nn.BatchNorm2d)
        stem = F.relu(norm0(conv0(image)))
        x = pooled_stem = F.max_pool2d(stem, 3, stride=2, padding=1)
        tapes: list[tuple[DenseBlock | Transition, list[tuple[Tensor, Tensor]]]] = []
        for part in layers:
            if isinstance(part, DenseBlock):
                x, tape = _block_forward(part, x)
            elif isinstance(part, Transition):
                norm, relu, conv, pool = part
                active = relu(norm(x))
                x, tape = pool(conv(active)), [(active, active)]
            else:
                continue
            tapes.append((part, tape))
        features = F.relu(norm5(x))
        pooled = self.network.pool(features, image)
        logits = self.network.classifier(pooled)

        share = self.network.classifier.weight[0][None, :, None, None] * self.network.weights_of_places(image)
        gradient = through_norm(norm5, through_relu(features, share))
        for part, tape in reversed(tapes):
            if isinstance(part, DenseBlock):
                gradient = _block_backward(part, tape, gradient)
            else:
                gradient = _transition_backward(part, tape[0][0], gradient)
        gradient = _through_max_pool(stem, pooled_stem, gradient)
        gradient = through_norm(norm0, through_relu(stem, gradient))
        guided = F.conv_transpose2d(gradient, conv0.weight, stride=2, padding=3, output_padding=1)
        return guided, logits, features, pooled


def _block_forward(block: DenseBlock, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Output of a dense block, and the two rectified activations of each of its layers."""
    tape = []
    for layer in block.values():
        assert isinstance(layer, DenseLayer)
        first = F.relu(layer.norm1(x))
        second = F.relu(layer.norm2(layer.conv1(first)))
        x = torch.cat([x, layer.conv2(second)], dim=1)
        tape.append((first, second))
    return x, tape


def _block_backward(block: DenseBlock, tape: Sequence[tuple[Tensor, Tensor]], gradient: Tensor) -> Tensor:
    """Gradient at a dense block's input: the last layer first, each adds to the maps that it read."""
    for layer, (first, second) in zip(reversed(list(block.values())), reversed(tape), strict=True):
        assert isinstance(layer, DenseLayer)
        read = first.shape[1]
        new = F.conv_transpose2d(gradient[:, read:], layer.conv2.weight, padding=1)
        new = through_norm(layer.norm2, through_relu(second, new))
        new = F.conv_transpose2d(new, layer.conv1.weight)
        gradient = gradient[:, :read] + through_norm(layer.norm1, through_relu(first, new))
    return gradient


def _transition_backward(transition: Transition, active: Tensor, gradient: Tensor) -> Tensor:
    norm, _, conv, _ = transition
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(conv, nn.Conv2d)
    # A 1 x 1 convolution and the pooling's even spreading commute; the small maps go first.
    spread = F.interpolate(F.conv_transpose2d(gradient / 4, conv.weight), scale_factor=2, mode="nearest")
    return through_norm(norm, through_relu(active, spread))


def _through_max_pool(before: Tensor, pooled: Tensor, gradient: Tensor) -> Tensor:
    """Gradient of 3 x 3 max pooling, stride 2, padding 1, of maps that are not negative and have even sides.

    A window's gradient goes to its first maximum in reading order, as in torch: a masked image has flat regions where
    every pixel of a window is the maximum. Written with comparisons, since pooling with indices is slow on CPU engines.
    """
    padded = F.pad(before, (1, 1, 1, 1))
    rows, columns = pooled.shape[2:]
    free = torch.ones_like(pooled)
    routed: list[Tensor] = []
    for i in range(3):
        for j in range(3):
            window = padded[:, :, i : i + 2 * rows : 2, j : j + 2 * columns : 2]
            first = free * (window == pooled).to(free.dtype)
            free = free - first
            routed.append(gradient * first)
    # Rows of a window lie at odd, even and odd rows of the map; the first row belongs to the window above's last.
    up = [F.pad(routed[j], (0, 0, -1, 1)) + routed[6 + j] for j in range(3)]
    even, odd = routed[3:6], up
    planes = [plane for left, centre, right in (even, odd) for plane in (centre, F.pad(left, (-1, 1)) + right)]
    return F.pixel_shuffle(torch.stack(planes, dim=2).flatten(1, 2), 2)
