"""The reference engine: the same bundle on torch, to compare a compiled engine with; on CUDA where it is present."""

from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import nn

from cxrscreen.errors import BundleError
from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.comit import ComitNet
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.runtime.engine import checked_image
from cxrscreen.runtime.export import GUIDED_OUTPUTS, ClassifierAnswers, SegmenterAnswers
from cxrscreen.runtime.export_comit import ComitAnswers
from cxrscreen.runtime.export_guided import guided_backpropagation
from cxrscreen.runtime.export_halves import EARLY_OUTPUT, half_of
from cxrscreen.runtime.export_modules import network_from
from cxrscreen.runtime.graph import GraphEngine, check_present, unreadable, weights_of


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
        _, channels, rows, columns = _dims(model.graph.input[0])
        outputs = tuple(output.name for output in model.graph.output)
        super().__init__(weights_of(graph, about), (channels, rows, columns), outputs)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = network_from(self._weights).eval()
        if isinstance(network, Classifier):
            network.pooling = "lungs" if about.get("pooling") == "lungs" else "image"
        self._network = _answering(network, model).to(self._device)
        if threads is not None:
            torch.set_num_threads(threads)

    def __call__(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network on float32 (N, C, H, W); float32 arrays by output name, owned by the caller."""
        # A copy, since torch must not see a read-only array.
        batch = torch.from_numpy(checked_image(image, self._image_shape).copy()).to(self._device)
        with torch.inference_mode():
            results = self._network(batch)
        return {name: values.cpu().numpy() for name, values in zip(self._outputs, results, strict=True)}


def _answering(network: nn.Module, model: onnx.ModelProto) -> nn.Module:
    """What the graph holds of a network: the module that was exported, which gives its outputs in their order."""
    if isinstance(network, ComitNet):
        return ComitAnswers(network)
    if not isinstance(network, Classifier):
        return SegmenterAnswers(network)
    first, outputs = model.graph.output[0], [output.name for output in model.graph.output]
    if outputs == list(GUIDED_OUTPUTS):
        return guided_backpropagation(network)
    _, channels, rows, _ = _dims(model.graph.input[0])
    if isinstance(network, EfficientNetLite0):
        if outputs == [EARLY_OUTPUT]:
            return half_of(network, channels, rows // _dims(first)[2])
        if channels != network.conv_stem.in_channels:
            return half_of(network, channels, None)
    return ClassifierAnswers(network)


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    return [side.dim_value for side in value.type.tensor_type.shape.dim]


def _read(graph: Path) -> onnx.ModelProto:
    check_present(graph)
    try:
        model = onnx.load(graph, load_external_data=False)
    except DecodeError as fault:
        raise unreadable(graph) from fault
    if not model.graph.input:
        raise BundleError(f"The graph {graph} is empty: copy the model bundle again.")
    return model
