"""From a network's weights to their torch module, and to a description of it that other programs can build."""

import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxrscreen.errors import BundleError
from cxrscreen.nets.base_cxr import FILTERS, LAYERS, BaseCxr
from cxrscreen.nets.chexnet import CheXNet, CovidCxNet
from cxrscreen.nets.comit import TASKS, ComitNet, LiteEncoder, Outputs, VggEncoder
from cxrscreen.nets.fc_densenet import LAYERS as FC_DENSENET_LAYERS
from cxrscreen.nets.fc_densenet import FCDenseNet
from cxrscreen.nets.named import classifier_named
from cxrscreen.nets.unet import UNet
from cxrscreen.nets.vgg import BLOCKS, VGG, WIDTHS
from cxrscreen.runtime.export_comit import comit_answers
from cxrscreen.runtime.weights import write_weights

Definition = dict[str, Any]
"""``_target_``, an importable name, and its keyword arguments, some of them definitions: MONAI's configuration."""
Shapes = Mapping[str, tuple[int, ...]]

TARGET = "_target_"
BACKBONE = "backbone."
COUNTED = "num_batches_tracked"
"""What a batch normalisation counts while it is trained; not a floating-point number, so no weights file holds it."""
UNKNOWN = "These weights belong to no network of this version: use a bundle that it exported."


def network_from(weights: Mapping[str, NDArray[np.float32]]) -> nn.Module:
    """Build the network that a set of exported weights belongs to, and load them.

    Parameters
    ----------
    weights
        As for :func:`definition_of`.

    Returns
    -------
    Module
        A classifier, a segmenter or COMiT-Net, in training mode, as torch builds it.

    Raises
    ------
    BundleError
        If the names are those of no known network, or the arrays not all of one.
    """
    network = build(definition_of(weights)).train()
    fill(network, weights)
    return network


def definition_of(
    weights: Mapping[str, NDArray[np.float32]], *, side: int | None = None, pooling: str = "image"
) -> Definition:
    """Describe the module that a set of exported weights belongs to.

    Parameters
    ----------
    weights
        Arrays by state_dict name; the network, its channels, widths and outputs follow from names and shapes.
    side
        Of the network's input, pixels; COVID-CXNet's base model is made for one, and None takes the smallest of those
        with the same layers.
    pooling
        ``"image"`` or ``"lungs"``, as the graph says; see :class:`cxrscreen.nets.classifier.Classifier`.

    Returns
    -------
    dict
        For :func:`build`, or for MONAI's ``ConfigParser``.

    Raises
    ------
    BundleError
        If the names are those of no known network.
    """
    shapes = {name: weights[name].shape for name in weights}
    if "encoder.backbone.conv_stem.weight" in shapes or "encoder.backbone.features.0.weight" in shapes:
        return _comit_net(shapes)
    if "head.weight" in shapes:
        return _segmenter(shapes)
    if "dense1.weight" in shapes:
        stem, outputs = shapes["convolutions.0.weight"], shapes["classifier.weight"]
        side = side or _smallest_side(shapes["dense1.weight"][1])
        return _called(BaseCxr, side=side, num_outputs=outputs[0], in_channels=stem[1])
    if "classifier.weight" not in shapes:
        raise BundleError(UNKNOWN)
    outputs = shapes["classifier.weight"]
    if not any(name.startswith(BACKBONE) for name in shapes):
        return _classifier(shapes, outputs[0], pooling)
    own = {name.removeprefix(BACKBONE): shape for name, shape in shapes.items()}
    nodes = shapes["hidden.weight"][0] if "hidden.weight" in shapes else 0
    return _called(CovidCxNet, backbone=_classifier(own, 1, pooling), num_outputs=outputs[0], nodes=nodes)


def build(definition: Definition) -> nn.Module:
    """Build a module as MONAI's ``ConfigParser`` would, with random weights, in evaluation mode."""
    module: nn.Module = _built(definition)
    return module.eval()


def fill(network: nn.Module, weights: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """Fill a network with exported weights.

    Parameters
    ----------
    network
        Changed in place.
    weights
        Arrays by state_dict name, without the counters of batch normalisations, which become 0.

    Returns
    -------
    dict
        The network's whole state_dict, float32 and int64: what ``load_state_dict`` takes as it is.

    Raises
    ------
    BundleError
        If a tensor is missing, one too many or of another shape.
    """
    state = {name: torch.from_numpy(weights[name].copy()) for name in weights}
    state |= {name: torch.zeros_like(value) for name, value in network.state_dict().items() if name.endswith(COUNTED)}
    try:
        network.load_state_dict(state)
    except RuntimeError as fault:
        raise BundleError("These weights are not those of their network: export the bundle again.") from fault
    return state


def write_state(network: nn.Module, file: Path) -> None:
    """Write a network's state_dict as ``torch.load(file, weights_only=True)`` reads it."""
    torch.save(network.state_dict(), file)


def read_state(network: nn.Module, file: Path) -> nn.Module:
    """Fill a network from a file of :func:`write_state`, or of another program, and give it in evaluation mode.

    Raises
    ------
    BundleError
        If the file is missing, damaged or another network's.
    """
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    # torch raises errors of several kinds, pickle's among them, for what is no checkpoint.
    except Exception as fault:
        raise BundleError(
            f"The weights {file.name} are missing, damaged or of another network: export it again."
        ) from fault
    return network.eval()


def write_exported(network: nn.Module, file: Path) -> None:
    """Write a network's weights in the layout of a bundle; weights that are unchanged give the same bytes."""
    state = network.state_dict()
    write_weights({name: values.cpu().numpy() for name, values in state.items() if values.is_floating_point()}, file)


def answers_of(network: nn.Module, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What a network answers, under the names that its exported graph has.

    Parameters
    ----------
    network
        In evaluation mode.
    image
        float32 (N, C, H, W).

    Returns
    -------
    dict
        ``logits``; or what :func:`cxrscreen.runtime.export_comit.export_comit` describes.
    """
    with torch.inference_mode():
        found = network(torch.from_numpy(image.copy()))
    named = comit_answers(found) if isinstance(found, Outputs) else {"logits": found}
    return {name: values.float().cpu().numpy() for name, values in named.items()}


def _smallest_side(flattened: int) -> int:
    """Of the inputs whose flattened last maps have so many values; the layers do not depend on which it is."""
    side = math.isqrt(flattened // FILTERS)
    for _ in range(LAYERS):
        side = 2 * side + 1
    return side


def _called(target: Any, **arguments: Any) -> Definition:
    return {TARGET: f"{target.__module__}.{target.__qualname__}", **arguments}


def _built(value: Any) -> Any:
    if isinstance(value, Mapping) and TARGET in value:
        module, _, name = value[TARGET].rpartition(".")
        arguments = {key: _built(each) for key, each in value.items() if key != TARGET}
        return getattr(import_module(module), name)(**arguments)
    return value


def _classifier(shapes: Shapes, outputs: int, pooling: str) -> Definition:
    if "features.conv0.weight" in shapes:
        if shapes["features.conv0.weight"][1] == 3:
            # Of three channels there is none but CheXNet's, which normalises them itself.
            return _called(CheXNet, num_outputs=outputs, pooling=pooling)
        name, stem = "densenet121", "features.conv0.weight"
    elif "blocks.0.depthwise_conv.weight" in shapes:
        name, stem = "efficientnet-lite0", "conv_stem.weight"
    elif "layer1.0.conv1.weight" in shapes:
        name, stem = "resnet50" if "layer1.0.conv3.weight" in shapes else "resnet18", "conv1.weight"
    else:
        raise BundleError(UNKNOWN)
    return _called(classifier_named, name=name, num_outputs=outputs, pooling=pooling, channels=shapes[stem][1])


def _segmenter(shapes: Shapes) -> Definition:
    outputs = shapes["head.weight"][0]
    if "encoder.0.0.weight" in shapes:
        width, channels = shapes["encoder.0.0.weight"][:2]
        return _called(UNet, num_outputs=outputs, in_channels=channels, width=width)
    bottom = sum(name.startswith("bottom.") and name.endswith(".conv.weight") for name in shapes)
    depth = next((depth for depth, (_, layers) in FC_DENSENET_LAYERS.items() if layers == bottom), None)
    if depth is None or "stem.weight" not in shapes:
        raise BundleError(UNKNOWN)
    return _called(FCDenseNet, depth=depth, num_outputs=outputs, in_channels=shapes["stem.weight"][1])


def _comit_net(shapes: Shapes) -> Definition:
    own = {name.removeprefix("encoder.backbone."): shape for name, shape in shapes.items() if name.startswith("enc")}
    encoder: Definition
    if "conv_stem.weight" in own:
        encoder = _called(LiteEncoder, backbone=_classifier(own, 1, "image"))
        features = own["conv_head.weight"][0]
    else:
        kernels = [shape for name, shape in own.items() if name.startswith("features.") and len(shape) == 4]
        depth = next((depth for depth, counts in BLOCKS.items() if sum(counts) == len(kernels)), None)
        if depth is None:
            raise BundleError(UNKNOWN)
        features = max(shape[0] for shape in kernels)
        backbone = _called(VGG, depth=depth, num_outputs=1, width=features / WIDTHS[-1])
        encoder = _called(VggEncoder, backbone=backbone)
    tasks = [task for task in TASKS if f"{task}.head.weight" in shapes or f"{task}.last.weight" in shapes]
    settings: Definition = {"tasks": tasks}
    for task in tasks:
        if f"{task}.head.weight" in shapes:
            settings |= _decoder(shapes, task, features)
        else:
            settings["nodes"] = [shapes[f"{task}.{layer}.weight"][0] for layer in ("first", "second")]
    return _called(ComitNet, encoder=encoder, **settings)


def _decoder(shapes: Shapes, task: str, features: int) -> Definition:
    """Widths, counts and joins of a decoder, whose convolutions are ``blocks.LEVEL.PLACE.0``, finest level first."""
    levels = 1 + max(int(name.split(".")[2]) for name in shapes if name.startswith(f"{task}.blocks."))
    blocks = [
        [shapes[f"{task}.blocks.{level}.{place}.0.weight"] for place in range(_places(shapes, task, level))]
        for level in range(levels)
    ]
    # A level ends in the width of the next finer one.
    deepest = shapes.get(f"{task}.reduce.weight", (features,))[0]
    widths = [*(block[-1][0] for block in blocks[1:]), deepest]
    joins = "maps" if blocks[0][0][1] > widths[0] else "positions"
    return {"widths": widths, "counts": [len(block) for block in blocks], "joins": joins}


def _places(shapes: Shapes, task: str, level: int) -> int:
    prefix = f"{task}.blocks.{level}."
    return sum(name.startswith(prefix) and name.endswith(".0.weight") for name in shapes)
