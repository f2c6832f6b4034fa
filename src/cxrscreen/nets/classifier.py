"""What every classifier here has: feature maps at stride 32, pooled over the image or the lungs, one linear layer."""

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 32
"""Pixels of the image for each place of the last feature maps."""
BACKGROUND = -1.0
"""Grey value that a filtered radiograph has where there is no lung."""

Pooling = Literal["image", "lungs"]


class Classifier(nn.Module, ABC):
    """A network whose logits are a linear layer on pooled feature maps, so that CAM and Grad-CAM have closed forms.

    Attributes
    ----------
    classifier
        The linear layer.
    dropout
        Probability of dropping a pooled feature before it while training.
    pooling
        ``"image"``: the mean over all places. ``"lungs"``: the mean over the places where the input is not background,
        so that nothing but lung speaks for a class; see :func:`place_weights`.
    num_features, num_middle_features
        Channels of the last feature maps (K below) and of those at stride 16.
    """

    classifier: nn.Linear
    dropout: float
    pooling: Pooling
    num_features: int
    num_middle_features: int

    @abstractmethod
    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 16 and the last ones, (N, K, H/32, W/32), of images (N, C, H, W)."""

    def feature_maps(self, x: Tensor) -> Tensor:
        """Last feature maps, not negative, (N, K, H/32, W/32): what CAM and Grad-CAM read."""
        return self.maps_by_depth(x)[1]

    def weights_of_places(self, x: Tensor) -> Tensor:
        """How much each place of the feature maps counts for the image ``x``, (N, 1, H/32, W/32), sum 1."""
        if self.pooling == "lungs":
            return place_weights(x)
        rows, columns = x.shape[2] // STRIDE, x.shape[3] // STRIDE
        return x.new_full((x.shape[0], 1, rows, columns), 1.0 / (rows * columns))

    def pool(self, features: Tensor, x: Tensor) -> Tensor:
        """Pooled features (N, K) of the feature maps of the image ``x``."""
        if self.pooling == "image":
            return features.mean(dim=(2, 3))
        return (features * self.weights_of_places(x)).sum(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_outputs)."""
        return self.decide(self.feature_maps(x), x)

    def decide(self, features: Tensor, x: Tensor) -> Tensor:
        """Logits (N, num_outputs) from the last feature maps of the image ``x``."""
        pooled = self.pool(features, x)
        logits: Tensor = self.classifier(F.dropout(pooled, self.dropout, self.training))
        return logits


def place_weights(x: Tensor, stride: int = STRIDE) -> Tensor:
    """Share of all lung pixels that lies under each place of the feature maps.

    Parameters
    ----------
    x
        float (N, C, H, W), :data:`BACKGROUND` in all channels outside the lungs.
    stride
        Of the feature maps.

    Returns
    -------
    Tensor
        float (N, 1, H // stride, W // stride), sum 1; zeros for an image without lung, whose logit is then the bias.
    """
    lung = (x.amax(dim=1, keepdim=True) > BACKGROUND + 1e-3).to(x.dtype)
    share = F.avg_pool2d(lung, stride)
    return share / share.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
