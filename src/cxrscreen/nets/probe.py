"""A compact residual network: small enough to be trained many times over, for controls rather than for screening.

He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016 (basic blocks).
"""

from torch import Tensor, nn
from torch.nn import functional as F

STEM_CHANNELS = 24
CHANNELS = (32, 64, 128, 128)
STRIDES = (2, 2, 2, 1)


class ProbeNet(nn.Module):
    """Stem and four basic blocks (stride 16, 128 channels), average pooling, one linear layer; 0.6 million weights.

    Parameters
    ----------
    num_outputs
        Number of logits.

    Notes
    -----
    Input float (N, 1, H, W), sides of at least 16 pixels; output logits (N, num_outputs).
    """

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, STEM_CHANNELS, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(STEM_CHANNELS),
            nn.ReLU(inplace=True),
        )
        before = (STEM_CHANNELS, *CHANNELS)
        self.blocks = nn.Sequential(
            *(BasicBlock(inside, out, stride) for inside, out, stride in zip(before, CHANNELS, STRIDES, strict=False))
        )
        self.classifier = nn.Linear(CHANNELS[-1], num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_outputs)."""
        logits: Tensor = self.classifier(self.blocks(self.stem(x)).mean(dim=(2, 3)))
        return logits


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, out_channels, H / stride, W / stride)."""
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(inner + self.shortcut(x))
