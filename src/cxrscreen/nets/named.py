"""The classifiers by the names that recipes give them."""

from pathlib import Path
from typing import Literal

from cxrscreen.nets.classifier import Classifier, Pooling
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0, load_lite_pretrained
from cxrscreen.nets.pretrained import load_pretrained
from cxrscreen.nets.resnet import ResNet, load_resnet_pretrained

NetworkName = Literal["densenet121", "efficientnet-lite0", "resnet18", "resnet50"]


def classifier_named(
    name: NetworkName, num_outputs: int = 1, dropout: float = 0.0, pooling: Pooling = "image"
) -> Classifier:
    """Build a network for grey radiographs, with random weights.

    Parameters
    ----------
    name
        ``"densenet121"`` (the cascade paper's), ``"resnet18"`` (the patch-voting paper's), ``"resnet50"``, or
        ``"efficientnet-lite0"`` (small, its ImageNet weights install as a package).
    num_outputs
        Number of logits.
    dropout, pooling
        See :class:`cxrscreen.nets.classifier.Classifier`.
    """
    if name == "densenet121":
        return DenseNet121(num_outputs, dropout=dropout, pooling=pooling)
    if name in {"resnet18", "resnet50"}:
        return ResNet(18 if name == "resnet18" else 50, num_outputs, dropout, pooling)
    return EfficientNetLite0(num_outputs, dropout=dropout, pooling=pooling)


def load_classifier_weights(network: Classifier, weights: str | Path) -> None:
    """Fill a network from published weights: ``"imagenet"``, ``"none"`` (left as it is) or a path to a checkpoint.

    Raises
    ------
    RecipeError
        If the weights are missing, cannot be downloaded, or are another network's.
    """
    if isinstance(network, EfficientNetLite0):
        load_lite_pretrained(network, weights)
    elif isinstance(network, DenseNet121):
        load_pretrained(network, weights)
    elif isinstance(network, ResNet):
        load_resnet_pretrained(network, weights)
    else:
        raise TypeError(f"no published weights are known for {type(network).__name__}")
