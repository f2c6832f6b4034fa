"""SegNet in plain torch.

Badrinarayanan, Kendall, Cipolla: SegNet: A deep convolutional encoder-decoder architecture for image segmentation,
IEEE TPAMI 39(12), 2017: the encoder of VGG16 with batch normalisation, and its mirror image, which puts each value back
where the encoder's pooling found it.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Width and convolutions of each resolution, the width in multiples of the first."""


class SegNet(nn.Module):
    """Encoder and decoder of five halvings, joined by the places of the maxima.

    Parameters
    ----------
    num_outputs
        Channels of the output logits.
    in_channels
        1 for grey images.
    width
        Channels at full resolution (the paper: 64).

    Notes
    -----
    Input float (N, in_channels, H, W), H and W multiples of 32; output logits (N, num_outputs, H, W).
    """

    def __init__(self, num_outputs: int = 1, in_channels: int = 1, width: int = 64) -> None:
        super().__init__()
        widths = [width * factor for factor, _ in STAGES]
        counts = [count for _, count in STAGES]
        self.encoder = nn.ModuleList(
            _convolutions([before, *[after] * count])
            for before, after, count in zip([in_channels, *widths], widths, counts, strict=False)
        )
        # From the deepest up; each stage ends with the width of the one above.
        above = [*widths[-2::-1], width]
        self.decoder = nn.ModuleList(
            _convolutions([*[own] * count, after])
            for own, after, count in zip(widths[::-1], above, counts[::-1], strict=True)
        )
        self.head = nn.Conv2d(width, num_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_outputs, H, W)."""
        places: list[Tensor] = []
        for stage in self.encoder:
            x, found = F.max_pool2d(stage(x), 2, return_indices=True)
            places.append(found)
        for stage in self.decoder:
            x = stage(unpool(x, places.pop()))
        logits: Tensor = self.head(x)
        return logits


def unpool(values: Tensor, places: Tensor) -> Tensor:
    """Put maxima back where a pooling over 2 x 2 places found them, zero elsewhere.

    The same as ``torch.nn.functional.max_unpool2d``, which torch does not run where it is asked to be deterministic.

    Parameters
    ----------
    values
        (N, C, H, W).
    places
        int64 (N, C, H, W), from ``max_pool2d(..., 2, return_indices=True)``.

    Returns
    -------
    Tensor
        (N, C, 2 H, 2 W).
    """
    batch, channels, rows, columns = values.shape
    flat = values.new_zeros(batch, channels, 4 * rows * columns)
    flat = flat.scatter(2, places.reshape(batch, channels, -1), values.reshape(batch, channels, -1))
    return flat.reshape(batch, channels, 2 * rows, 2 * columns)


def _convolutions(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
