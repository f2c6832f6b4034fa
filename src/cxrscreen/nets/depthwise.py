"""Convolution of each channel by itself, with a backward pass that is fast on processors too."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL = 3
"""Kernels up to this size have a fast gradient of their weights, strides of 1 of their image."""


def depthwise(image: Tensor, weight: Tensor, stride: int, padding: int = 0) -> Tensor:
    """Filter each channel by its own kernel.

    On a processor torch has no fast bfloat16 code for the image's gradient where the stride is above 1, nor for the
    weights' where the kernel is larger than 3 x 3: these few layers cost more than half of a training step
    of EfficientNet-Lite0. So these gradients are computed in float32, which is faster and more exact
    (``benchmarks/depthwise_speed.py``: a step in two thirds of the time).

    Parameters
    ----------
    image
        float (N, C, H, W).
    weight
        float (C, 1, K, K).
    stride, padding
        Along rows and columns alike.

    Returns
    -------
    Tensor
        float (N, C, H', W'), as of :func:`torch.nn.functional.conv2d` with C groups.
    """
    slow = stride > 1 or weight.shape[-1] > SMALL
    if slow and image.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
        narrow = torch.get_autocast_dtype("cpu")
        result: Tensor = _Filter.apply(image.to(narrow), weight.to(narrow), stride, padding)  # type: ignore[no-untyped-call]
        return result
    return F.conv2d(image, weight, None, stride, padding, groups=weight.shape[0])


class DepthwiseConv(nn.Conv2d):
    """A layer of :func:`depthwise`, without bias, padded evenly."""

    def __init__(self, channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Each channel filtered."""
        return depthwise(input, self.weight, self.stride[0], int(self.padding[0]))


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(image, weight, None, stride, padding, groups=weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        weight = ctx.saved_tensors[1]
        of_image = _gradients(ctx, gradients[0], exact=ctx.stride > 1, image=True) if ctx.needs_input_grad[0] else None
        large = weight.shape[-1] > SMALL
        of_weight = _gradients(ctx, gradients[0], exact=large, image=False) if ctx.needs_input_grad[1] else None
        return of_image, of_weight, None, None


def _gradients(ctx: Any, above: Tensor, *, exact: bool, image: bool) -> Tensor:
    given: tuple[Tensor, ...] = (above, *ctx.saved_tensors)
    into, maps, weight = (each.float() for each in given) if exact else given
    both = (ctx.stride, ctx.stride), (ctx.padding, ctx.padding), (1, 1)
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        into, maps, weight, None, *both, False, (0, 0), weight.shape[0], (image, not image, False)
    )
    return found[0 if image else 1].to(given[1 if image else 2].dtype)
