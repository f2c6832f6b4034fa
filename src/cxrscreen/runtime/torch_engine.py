"""The reference engine: the same bundle on torch, to compare a compiled engine with; on CUDA where it is present."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import Tensor

from cxrscreen.errors import BundleError
from cxrscreen.nets.base_cxr import FILTERS, LAYERS, BaseCxr
from cxrscreen.nets.chexnet import CheXNet, CovidCxNet, widen_stem
from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.nets.fc_densenet import LAYERS as FC_DENSENET_LAYERS
from cxrscreen.nets.fc_densenet import FCDenseNet
from cxrscreen.nets.resnet import ResNet
from cxrscreen.nets.unet import UNet
from cxrscreen.runtime.engine import checked_image
from cxrscreen.runtime.export_guided import guided_backpropagation
from cxrscreen.runtime.graph import GraphEngine, check_present, unreadable, weights_of

BACKBONE = "backbone."
"""Before the names of a network whose head was replaced."""
PUBLISHED_CHANNELS = 3
UNKNOWN = "These weights belong to no network of this version: use a bundle that it exported."


class TorchEngine(GraphEngine):
    """A graph's network rebuilt in torch, float32, on the first CUDA device or else the CPU.

    Parameters
    ----------
    graph
        An ONNX file written by :mod:`cxrscreen.runtime.export`; it tells the input side, the outputs and the weights
        file, and is not run.
    threads
        Threads of torch, for the whole process; None leaves them as they are.

    Raises
    ------
    BundleError
        If the graph or its weights are missing, damaged or of no known network.
    """

    def __init__(self, graph: Path, *, threads: int | None = None) -> None:
        model = _read(graph)
        about = {entry.key: entry.value for entry in model.metadata_props}
        _, channels, rows, columns = (side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim)
        outputs = tuple(output.name for output in model.graph.output)
        super().__init__(weights_of(graph, about), (channels, rows, columns), outputs)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network_from(self._weights).eval().to(self._device)
        if isinstance(self._network, Classifier):
            self._network.pooling = "lungs" if about.get("pooling") == "lungs" else "image"
        if threads is not None:
            torch.set_num_threads(threads)

    def __call__(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network on float32 (N, C, H, W); float32 arrays by output name, owned by the caller."""
        # A copy, since torch must not see a read-only array.
        batch = torch.from_numpy(checked_image(image, self._image_shape).copy()).to(self._device)
        with torch.inference_mode():
            results = self._run(batch)
        return {name: results[name].cpu().numpy() for name in self._outputs}

    def _run(self, batch: Tensor) -> dict[str, Tensor]:
        if isinstance(self._network, UNet | FCDenseNet):
            return {"logits": self._network(batch)}
        if "guided" in self._outputs:
            results = guided_backpropagation(self._network)(batch)
            return dict(zip(("guided", "logits", "features", "pooled"), results, strict=True))
        features = self._network.feature_maps(batch)
        pooled = self._network.pool(features, batch)
        return {"logits": self._network.classifier(pooled), "features": features, "pooled": pooled}


def network_from(weights: Mapping[str, NDArray[np.float32]]) -> Classifier | UNet | FCDenseNet:
    """Build the network that a set of exported weights belongs to, and load them.

    Parameters
    ----------
    weights
        Arrays by state_dict name; the network, its channels, width and outputs follow from names and shapes.

    Returns
    -------
    Classifier, UNet or FCDenseNet
        In training mode, as torch builds it.

    Raises
    ------
    BundleError
        If the names are those of no known network.
    """
    network = _built(weights)
    state = {name: torch.from_numpy(values) for name, values in weights.items()}
    try:
        report = network.load_state_dict(state, strict=False)
    except RuntimeError as fault:
        raise BundleError("These weights have other shapes than their network: export the bundle again.") from fault
    missing = [name for name in report.missing_keys if not name.endswith("num_batches_tracked")]
    if missing or report.unexpected_keys:
        raise BundleError("These weights are not complete for their network: export the bundle again.")
    return network


def _built(weights: Mapping[str, NDArray[np.float32]]) -> Classifier | UNet | FCDenseNet:
    """The network that the names and shapes tell of, with random weights."""
    own = {name.removeprefix(BACKBONE): name for name in weights}
    if "dense1.weight" in own and "convolutions.0.weight" in own:
        channels, flattened = weights["convolutions.0.weight"].shape[1], weights["dense1.weight"].shape[1]
        return BaseCxr(_smallest_side(flattened), len(weights["classifier.weight"]), channels)
    if "head.weight" in own and "stem.weight" in own:
        bottom = sum(name.startswith("bottom.") and name.endswith(".conv.weight") for name in own)
        depth = next((depth for depth, (_, layers) in FC_DENSENET_LAYERS.items() if layers == bottom), None)
        if depth is None:
            raise BundleError(UNKNOWN)
        return FCDenseNet(depth, len(weights["head.weight"]), weights["stem.weight"].shape[1])
    if "head.weight" in own and "encoder.0.0.weight" in own:
        width, channels = weights["encoder.0.0.weight"].shape[:2]
        return UNet(len(weights["head.weight"]), channels, width)
    if "classifier.weight" not in own:
        raise BundleError(UNKNOWN)
    outputs = len(weights["classifier.weight"])
    network: Classifier
    if "features.conv0.weight" in own:
        channels = weights[own["features.conv0.weight"]].shape[1]
        # Of three channels there is none but CheXNet's, which normalises them itself.
        network = CheXNet(outputs) if channels == PUBLISHED_CHANNELS else DenseNet121(outputs, channels)
    elif "blocks.0.depthwise_conv.weight" in own:
        network = EfficientNetLite0(outputs)
        channels = weights[own["conv_stem.weight"]].shape[1]
        if channels > 1:
            widen_stem(network, channels)
    elif "layer1.0.conv1.weight" in own:
        network = ResNet(50 if "layer1.0.conv3.weight" in own else 18, outputs)
        channels = weights[own["conv1.weight"]].shape[1]
        if channels > 1:
            widen_stem(network, channels)
    else:
        raise BundleError(UNKNOWN)
    if any(name.startswith(BACKBONE) for name in weights):
        nodes = len(weights["hidden.weight"]) if "hidden.weight" in weights else 0
        return CovidCxNet(network, outputs, nodes)
    return network


def _smallest_side(flattened: int) -> int:
    """Of the inputs whose flattened last maps have so many values; the layers do not depend on which it is."""
    side = math.isqrt(flattened // FILTERS)
    for _ in range(LAYERS):
        side = 2 * side + 1
    return side


def _read(graph: Path) -> onnx.ModelProto:
    check_present(graph)
    try:
        model = onnx.load(graph, load_external_data=False)
    except DecodeError as fault:
        raise unreadable(graph) from fault
    if not model.graph.input:
        raise BundleError(f"The graph {graph} is empty: copy the model bundle again.")
    return model
