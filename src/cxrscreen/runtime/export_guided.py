"""Guided backpropagation written out as a forward computation, so that it exports to a graph.

Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for simplicity: the all convolutional net, ICLR 2015 workshop.
"""

from torch import nn

from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.runtime.export_guided_densenet import GuidedDenseNet121
from cxrscreen.runtime.export_guided_lite import GuidedEfficientNetLite0


def guided_backpropagation(network: Classifier) -> nn.Module:
    r"""Give the module that computes a classifier's outputs and the guided gradient of its logit 0.

    At each rectifier :math:`y = f(x)` the backward pass is :math:`R_x = R_y \cdot f'(x) \cdot [R_y > 0]`; every other
    layer passes its ordinary gradient.

    Parameters
    ----------
    network
        The classifier, used with its running statistics; its parameters are shared, not copied, under ``network.``.

    Returns
    -------
    Module
        Input float (N, C, S, S), S a multiple of 32; output ``guided`` (N, C, S, S), ``logits`` (N, L), ``features``
        (N, K, S/32, S/32) after the last rectifier, ``pooled`` (N, K).
    """
    if isinstance(network, DenseNet121):
        return GuidedDenseNet121(network)
    if isinstance(network, EfficientNetLite0):
        return GuidedEfficientNetLite0(network)
    raise TypeError(f"guided backpropagation of {type(network).__name__} is not written out")
