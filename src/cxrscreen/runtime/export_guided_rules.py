"""How a guided gradient passes the layers that all classifiers share."""

from torch import Tensor, nn
from torch.nn import functional as F


def through_relu(activation: Tensor, gradient: Tensor) -> Tensor:
    r"""Gradient before :math:`y = \max(x, 0)`, given ``y``: :math:`R_y \cdot [y > 0] \cdot [R_y > 0]`."""
    return F.relu(gradient) * (activation > 0).to(gradient.dtype)


def through_relu6(activation: Tensor, gradient: Tensor) -> Tensor:
    r"""Gradient before :math:`y = \min(\max(x, 0), 6)`, given ``y``: :math:`R_y \cdot [0 < y < 6] \cdot [R_y > 0]`."""
    return through_relu(activation, gradient) * (activation < 6).to(gradient.dtype)


def through_norm(norm: nn.BatchNorm2d, gradient: Tensor) -> Tensor:
    """Gradient before a normalisation with its running statistics, (N, C, H, W)."""
    assert norm.running_var is not None
    return gradient * (norm.weight * (norm.running_var + norm.eps).rsqrt())[None, :, None, None]
