"""The classifiers by the names that recipes give them."""

from pathlib import Path
from typing import Literal

from cxrscreen.nets.chexnet import widen_stem
from cxrscreen.nets.classifier import Classifier, Pooling
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0, load_lite_pretrained
from cxrscreen.nets.mobilenet import MobileNetV2, load_mobilenet_pretrained
from cxrscreen.nets.pretrained import load_pretrained
from cxrscreen.nets.resnet import ResNet, load_resnet_pretrained
from cxrscreen.nets.vgg import VGG, load_vgg_pretrained

NetworkName = Literal["densenet121", "efficientnet-lite0", "mobilenetv2", "resnet18", "resnet50", "vgg16", "vgg19"]


def classifier_named(
    name: NetworkName,
    num_outputs: int = 1,
    dropout: float = 0.0,
    pooling: Pooling = "image",
    *,
    channels: int = 1,
) -> Classifier:
    """Build a network for grey radiographs, with random weights.

    Parameters
    ----------
    name
        ``"densenet121"`` (the cascade paper's), ``"resnet18"`` (the patch-voting paper's), ``"resnet50"``,
        ``"efficientnet-lite0"`` (small, its ImageNet weights install as a package), or one of those that COMiT-Net is
        built on and compared with: ``"vgg16"``, ``"vgg19"``, both with batch normalisation, and ``"mobilenetv2"``.
    num_outputs
        Number of logits.
    dropout, pooling
        See :class:`cxrscreen.nets.classifier.Classifier`.
    channels
        Of the input. Several begin as copies of one grey image's, see :func:`cxrscreen.nets.chexnet.widen_stem`.
    """
    network: Classifier
    if name == "densenet121":
        # Its own parameter for channels, since its stem is drawn for them.
        return DenseNet121(num_outputs, channels, dropout=dropout, pooling=pooling)
    if name in {"resnet18", "resnet50"}:
        network = ResNet(18 if name == "resnet18" else 50, num_outputs, dropout, pooling)
    elif name in {"vgg16", "vgg19"}:
        network = VGG(16 if name == "vgg16" else 19, num_outputs, dropout, pooling)
    elif name == "mobilenetv2":
        network = MobileNetV2(num_outputs, dropout, pooling)
    else:
        network = EfficientNetLite0(num_outputs, dropout=dropout, pooling=pooling)
    if channels > 1:
        widen_stem(network, channels)
    return network


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
    elif isinstance(network, VGG):
        load_vgg_pretrained(network, weights)
    elif isinstance(network, MobileNetV2):
        load_mobilenet_pretrained(network, weights)
    else:
        raise TypeError(f"no published weights are known for {type(network).__name__}")
