"""Guided backpropagation of DenseNet-121 written out as a forward computation, so that it exports to a graph.

Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for simplicity: the all convolutional net, ICLR 2015 workshop.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.densenet import DenseBlock, DenseLayer, DenseNet121, Transition


class GuidedBackpropagation(nn.Module):
    r"""Guided gradient of logit 0 with respect to the image.

    At each ReLU :math:`y = \max(x, 0)` the backward pass is
    :math:`R_x = R_y \cdot [x > 0] \cdot [R_y > 0]`; every other layer passes its ordinary gradient.

    Parameters
    ----------
    network
        The classifier, used with its running statistics; its parameters are shared, not copied.

    Notes
    -----
    Input float (N, C, S, S), S a multiple of 32; output ``guided`` (N, C, S, S), ``logits`` (N, K), ``features``
    (N, 1024, S/32, S/32) after the last ReLU, ``pooled`` (N, 1024).
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
        gradient = _through_norm(norm5, _through_relu(features, share))
        for part, tape in reversed(tapes):
            if isinstance(part, DenseBlock):
                gradient = _block_backward(part, tape, gradient)
            else:
                gradient = _transition_backward(part, tape[0][0], gradient)
        gradient = _through_max_pool(stem, pooled_stem, gradient)
        gradient = _through_norm(norm0, _through_relu(stem, gradient))
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
        new = _through_norm(layer.norm2, _through_relu(second, new))
        new = F.conv_transpose2d(new, layer.conv1.weight)
        gradient = gradient[:, :read] + _through_norm(layer.norm1, _through_relu(first, new))
    return gradient


def _transition_backward(transition: Transition, active: Tensor, gradient: Tensor) -> Tensor:
    norm, _, conv, _ = transition
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(conv, nn.Conv2d)
    # A 1 x 1 convolution and the pooling's even spreading commute; the small maps go first.
    spread = F.interpolate(F.conv_transpose2d(gradient / 4, conv.weight), scale_factor=2, mode="nearest")
    return _through_norm(norm, _through_relu(active, spread))


def _through_relu(activation: Tensor, gradient: Tensor) -> Tensor:
    return F.relu(gradient) * (activation > 0).to(gradient.dtype)


def _through_norm(norm: nn.BatchNorm2d, gradient: Tensor) -> Tensor:
    assert norm.running_var is not None
    return gradient * (norm.weight * torch.rsqrt(norm.running_var + norm.eps))[None, :, None, None]


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
