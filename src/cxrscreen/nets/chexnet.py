"""CheXNet, and COVID-CXNet on it: a backbone, ten nodes, dropout and the classes (COVID-CXNet paper, section 4.3).

Rajpurkar et al.: CheXNet: Radiologist-level pneumonia detection on chest X-rays with deep learning, 2017.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.data.findings import FINDINGS
from cxrscreen.errors import RecipeError
from cxrscreen.nets.classifier import Classifier, Pooling
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.pretrained import LoadReport, load_pretrained

BLACK, WHITE = -1.0, 3.0
"""Grey values of the images that classifiers take here."""
PUBLISHED_MEAN, PUBLISHED_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalisation of the three channels that published weights, of ImageNet and of CheXNet, were trained with."""
NODES, DROPOUT = 10, 0.2


class CheXNet(DenseNet121):
    """DenseNet-121 on three channels, normalised as its published weights expect, with a logit for each finding.

    Parameters
    ----------
    num_outputs
        Logits; 14 are those of :data:`~cxrscreen.data.findings.FINDINGS`, each with its own sigmoid, since findings
        do not exclude each other.
    dropout, pooling
        See :class:`cxrscreen.nets.classifier.Classifier`.

    Notes
    -----
    Input float (N, 3, H, W) in [-1, 3], sides of at least 32 pixels.
    """

    def __init__(self, num_outputs: int = len(FINDINGS), dropout: float = 0.0, pooling: Pooling = "image") -> None:
        super().__init__(num_outputs, in_channels=3, dropout=dropout, pooling=pooling)

    def feature_maps(self, x: Tensor) -> Tensor:
        """Feature maps after the final ReLU, (N, 1024, H/32, W/32)."""
        return super().feature_maps(self._as_published(x))

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 16 and the last ones."""
        return super().maps_by_depth(self._as_published(x))

    def _as_published(self, x: Tensor) -> Tensor:
        grey = (x - BLACK) / (WHITE - BLACK)
        # Plain numbers: buffers would have to travel with the weights.
        channels = [
            (grey[:, place : place + 1] - mean) / spread
            for place, (mean, spread) in enumerate(zip(PUBLISHED_MEAN, PUBLISHED_SPREAD, strict=True))
        ]
        return torch.cat(channels, dim=1)


class CovidCxNet(Classifier):
    """A backbone whose head is replaced: ten nodes, dropout 0.2 and one logit (sigmoid) or three (softmax); Fig. 8.

    Parameters
    ----------
    backbone
        :class:`CheXNet`, or another classifier; its own linear layer is dropped.
    num_outputs
        1: COVID-19 against normal. 3: normal, other pneumonia, COVID-19.
    nodes
        Nodes between pooling and logits; 0 for a plain replaced linear layer (the paper's section 4.2).
    dropout
        Probability of dropping one of these nodes while training.

    Notes
    -----
    What is called pooled here is the values of the ten nodes, behind their rectifier, so that Grad-CAM has a closed
    form; see :func:`cxrscreen.explain.dense_head.ten_node_slopes`.
    """

    def __init__(
        self, backbone: Classifier, num_outputs: int = 1, nodes: int = NODES, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        self.backbone = backbone
        del self.backbone.classifier
        self.hidden = nn.Linear(backbone.num_features, nodes) if nodes else None
        self.classifier = nn.Linear(nodes or backbone.num_features, num_outputs)
        nn.init.zeros_(self.classifier.bias)
        if self.hidden is not None:
            nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
            # A node that starts below zero for all images would never learn.
            nn.init.constant_(self.hidden.bias, 0.1)
        self.dropout, self.pooling = dropout, backbone.pooling
        self.num_features, self.num_middle_features = backbone.num_features, backbone.num_middle_features
        self.frozen = False

    def freeze(self, frozen: bool) -> None:
        """Keep the backbone as it is, its normalisations included, or let it learn."""
        self.frozen = frozen
        self.backbone.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "CovidCxNet":
        """Training mode for all that learns."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def feature_maps(self, x: Tensor) -> Tensor:
        """Last feature maps of the backbone, not negative."""
        return self.backbone.feature_maps(x)

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps of the backbone at stride 16 and the last ones."""
        return self.backbone.maps_by_depth(x)

    def pool(self, features: Tensor, x: Tensor) -> Tensor:
        """Values of the nodes (N, nodes), not negative; without nodes the pooled features."""
        self.backbone.pooling = self.pooling
        pooled = self.backbone.pool(features, x)
        return pooled if self.hidden is None else F.relu(self.hidden(pooled))


def load_chexnet(network: CheXNet, weights: str | Path) -> LoadReport:
    """Fill a CheXNet with its 14 outputs from a published checkpoint, whichever key layout it has.

    Read are torchvision's names, the old ``norm.1``, ``conv.1`` ones, DataParallel's ``module.`` prefix, and
    ``densenet121.``, ``classifier.0.`` and containers such as ``state_dict``; see
    :func:`cxrscreen.nets.pretrained.load_pretrained`.

    Raises
    ------
    RecipeError
        If the file is missing, is no complete DenseNet-121, or its last layer does not have this network's outputs.
    """
    kept = {name: values.clone() for name, values in network.state_dict().items()}
    report = load_pretrained(network, weights)
    if any(name.startswith("classifier.") for name in report.left):
        network.load_state_dict(kept)
        raise RecipeError(
            f"The checkpoint {Path(weights).name} has no layer of {network.classifier.out_features} findings: give one "
            "of CheXNet, or name it as weights of the backbone alone."
        )
    return report


def widen_stem(network: Classifier, channels: int = 3) -> None:
    """Let a network for grey images take several channels; of equal channels it sees what it saw of one.

    Parameters
    ----------
    network
        Changed in place; its first convolution takes one channel.
    channels
        Channels from now on.
    """
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    if stem.in_channels != 1:
        raise ValueError(f"a network for grey images expected, got {stem.in_channels} channels")
    stem.weight = nn.Parameter(stem.weight.detach().repeat(1, channels, 1, 1) / channels)
    stem.in_channels = channels
