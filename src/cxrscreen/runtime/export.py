"""Torch networks -> small ONNX graphs whose weights stay in one safetensors file."""

import copy
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx_ir
import onnx_ir.passes.common
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from cxrscreen.errors import RecipeError
from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.unet import UNet
from cxrscreen.runtime.export_guided import guided_backpropagation
from cxrscreen.runtime.weights import Span, sha256, tensor_spans, write_weights

CLASSIFIER_OUTPUTS = ("logits", "features", "pooled")
SEGMENTER_OUTPUTS = ("logits",)
GUIDED_OUTPUTS = ("guided", *CLASSIFIER_OUTPUTS)
ONNX_OPSET = 20
MAX_BATCH = 4096
OWNER = "network."
"""The exported modules hold the network under this name; the weights file goes without it."""
ONNX_TYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}


def export_classifier(network: Classifier, side: int, weights: Path, graph: Path) -> None:
    """Write a classifier's weights and its ONNX graph.

    The graph: ``image`` float32 (N, C, side, side) -> ``logits`` (N, L), ``features`` (N, K, side/32, side/32) after
    the last rectifier, ``pooled`` (N, K), their mean as the network pools them; K is 1024 for DenseNet-121 and 1280
    for EfficientNet-Lite0.

    Parameters
    ----------
    network
        The trained network; left as it was.
    side
        Side of the input in pixels, a multiple of 32.
    weights
        The safetensors file to write (float16 kernels, float32 vectors).
    graph
        The ONNX file to write, in the same folder.

    Raises
    ------
    RecipeError
        If the side is no multiple of 32 or the two files lie in different folders.
    """
    about: dict[str, str] = {"pooling": network.pooling}
    export_graph(
        ClassifierAnswers(network), example_image(network, side, 32), CLASSIFIER_OUTPUTS, weights, graph, about
    )


def export_guided(network: Classifier, side: int, weights: Path, graph: Path) -> None:
    """Write a classifier's weights and the ONNX graph of its guided backpropagation.

    The graph: ``image`` float32 (N, C, side, side) -> ``guided`` of the same shape, the guided gradient of logit 0 with
    respect to the image (any sign), beside ``logits``, ``features`` and ``pooled`` as in :func:`export_classifier`, so
    that one run gives a decision and all its maps.

    Parameters
    ----------
    network
        The trained network; left as it was.
    side
        Side of the input in pixels, a multiple of 32.
    weights
        The safetensors file to write; the same bytes as :func:`export_classifier` writes for this network, so the two
        graphs can share it.
    graph
        The ONNX file to write, in the same folder.

    Raises
    ------
    RecipeError
        If the side is no multiple of 32 or the two files lie in different folders.
    """
    about: dict[str, str] = {"pooling": network.pooling}
    export_graph(
        guided_backpropagation(network), example_image(network, side, 32), GUIDED_OUTPUTS, weights, graph, about
    )


def export_segmenter(network: UNet, side: int, weights: Path, graph: Path) -> None:
    """Write a segmenter's weights and its ONNX graph.

    The graph: ``image`` float32 (N, C, side, side) -> ``logits`` (N, K, side, side).

    Parameters
    ----------
    network
        The trained network; left as it was.
    side
        Side of the input in pixels, a multiple of 16.
    weights
        The safetensors file to write (float16 kernels, float32 vectors).
    graph
        The ONNX file to write, in the same folder.

    Raises
    ------
    RecipeError
        If the side is no multiple of 16 or the two files lie in different folders.
    """
    export_graph(SegmenterAnswers(network), example_image(network, side, 16), SEGMENTER_OUTPUTS, weights, graph, {})


class ClassifierAnswers(nn.Module):
    """Logits, feature maps and their pooled values: what the graph of a classifier gives."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run it on float (N, C, S, S)."""
        features = self.network.feature_maps(image)
        pooled = self.network.pool(features, image)
        return self.network.classifier(pooled), features, pooled


class SegmenterAnswers(nn.Module):
    """Logits at every place, in a tuple: what the graph of a segmenter gives."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Run it on float (N, C, S, S)."""
        return (self.network(image),)


def example_image(network: nn.Module, side: int, multiple: int) -> Tensor:
    """Make an input to trace a network with: zeros, float32 (2, C, side, side), C as its first layer asks.

    Raises
    ------
    RecipeError
        If the side is no positive multiple of ``multiple``.
    """
    if side <= 0 or side % multiple:
        raise RecipeError(f"An input side of {side} pixels does not fit this network: choose a multiple of {multiple}.")
    stem = next(network.parameters())
    # The exporter takes a batch of one for a constant.
    return torch.zeros(2, stem.shape[1], side, side)


def export_graph(
    module: nn.Module, image: Tensor, outputs: tuple[str, ...], weights: Path, graph: Path, about: Mapping[str, str]
) -> None:
    """Write any module as an ONNX graph whose weights lie in a safetensors file beside it.

    Parameters
    ----------
    module
        Traced as it is in use, on the CPU in float32; it is not changed.
    image
        Example input, of more than one image; the batch stays free.
    outputs
        Names of what the module gives, in order.
    weights, graph
        Files to write, in one folder.
    about
        Facts that the graph carries.

    Raises
    ------
    RecipeError
        If the two files are to lie in different folders.
    """
    if weights.parent.resolve() != graph.parent.resolve():
        raise RecipeError(f"The graph {graph.name} and its weights {weights.name} must be written to one folder.")
    # A copy: the caller's network may be training, in another precision or on another device.
    module = copy.deepcopy(module).float().cpu().eval()
    state = {name.removeprefix(OWNER): values for name, values in module.state_dict().items()}
    write_weights({name: values.numpy() for name, values in state.items() if values.is_floating_point()}, weights)
    model = _trace(module, image, outputs)
    _point_into(model, tensor_spans(weights), weights.name)
    # Offsets into another file would give numbers without meaning, so the loaders compare the digest.
    helper.set_model_props(model, {"weights": weights.name, "weights_sha256": sha256(weights), **about})
    onnx.save(model, graph)


def _trace(module: nn.Module, image: Tensor, outputs: tuple[str, ...]) -> onnx.ModelProto:
    # The exporter warns that torchvision's operators are not there; none is used.
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            program = torch.onnx.export(
                module,
                (image,),
                dynamo=True,
                # The optimiser folds normalisations into kernels, which then are no tensors of the state_dict.
                optimize=False,
                opset_version=ONNX_OPSET,
                input_names=["image"],
                output_names=list(outputs),
                dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}},
                verbose=False,
            )
    finally:
        log.setLevel(level)
    assert program is not None
    model = program.model
    common = onnx_ir.passes.common
    onnx_ir.passes.Sequential(
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        # Metadata holds the exporting machine's paths.
        common.ClearMetadataAndDocStringPass(),
    )(model)
    proto = onnx_ir.to_proto(model)
    del proto.graph.value_info[:], proto.graph.metadata_props[:], proto.metadata_props[:]
    return proto


def _point_into(model: onnx.ModelProto, spans: dict[str, Span], location: str) -> None:
    """Replace the network's initialisers by references to the weights file, with a cast behind the float16 ones."""
    kept, casts, renamed = [], [], {}
    for tensor in model.graph.initializer:
        name = tensor.name.removeprefix(OWNER)
        span = spans.get(name)
        if span is None:
            if tensor.name.startswith(OWNER):
                raise RuntimeError(f"{tensor.name} is not in {location}")
            kept.append(tensor)
            continue
        reference = TensorProto(
            name=name, data_type=ONNX_TYPES[span.dtype], dims=span.shape, data_location=TensorProto.EXTERNAL
        )
        for key, value in (("location", location), ("offset", span.offset), ("length", span.length)):
            reference.external_data.add(key=key, value=str(value))
        kept.append(reference)
        renamed[tensor.name] = name
        if span.dtype == "F16":
            renamed[tensor.name] = f"{name}:float32"
            casts.append(helper.make_node("Cast", [name], [renamed[tensor.name]], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend([*casts, *nodes])
