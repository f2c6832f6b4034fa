"""What a network learns from a tutor: its answer to one decision, and its feature maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.classifier import Classifier, place_weights


class Hints(nn.Module):
    """How far a network's feature maps are from telling a tutor's, at each place and depth (FitNets, ICLR 2015).

    The maps of a tutor that has seen other images say more than its answers, which on its own training images are
    hardly more than the labels.

    Parameters
    ----------
    channels
        Channels of the network's maps and of the tutor's, by depth.
    """

    def __init__(self, channels: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.ways = nn.ModuleList(nn.Conv2d(own, shown, 1) for own, shown in channels)
        # Every channel of the tutor counts the same; its scale is followed while training.
        self.scales = nn.ModuleList(nn.BatchNorm2d(shown, affine=False) for _, shown in channels)

    def forward(self, own: Sequence[Tensor], shown: Sequence[Tensor], image: Tensor) -> Tensor:
        """Mean squared error of the standardised maps over the places where the image is not background, a scalar."""
        losses = []
        for way, scale, maps, goal in zip(self.ways, self.scales, own, shown, strict=True):
            weights = place_weights(image, image.shape[2] // goal.shape[2])
            error = F.smooth_l1_loss(way(maps).float(), scale(goal.float()), reduction="none").mean(dim=1, keepdim=True)
            losses.append((error * weights).sum(dim=(1, 2, 3)).mean())
        return torch.stack(losses).mean()


class OneDecision(nn.Module):
    """One logit of a network that gives several, (N, 1)."""

    def __init__(self, network: Classifier, column: int) -> None:
        super().__init__()
        self.network, self.column = network, column

    def forward(self, image: Tensor) -> Tensor:
        """Logit (N, 1)."""
        logits: Tensor = self.network(image)
        return logits[:, self.column : self.column + 1]

    def show(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logit (N, 1) and the feature maps by depth."""
        maps = self.network.maps_by_depth(image)
        logits: Tensor = self.network.decide(maps[1], image)
        return logits[:, self.column : self.column + 1], maps
