"""Which networks a bundle has, read from its files, so that no system need be known by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from cxrscreen.errors import BundleError
from cxrscreen.runtime.graph import unreadable
from cxrscreen.systems.bundle import Bundle

SUFFIX = ".onnx"


@dataclass(frozen=True)
class Graph:
    """One compiled form of a network.

    Parameters
    ----------
    file
        In the bundle's folder.
    weights
        File of the weights, to which several graphs can point.
    pooling
        ``"image"`` or ``"lungs"``, or empty for a network that pools nothing.
    opset
        Version of ONNX's default operators.
    image_shape
        Channels, rows and columns of the input ``image``; the number of images is free.
    outputs
        Shape of each output without the images' axis, by name, in order.
    """

    file: Path
    weights: str
    pooling: str
    opset: int
    image_shape: tuple[int, int, int]
    outputs: Mapping[str, tuple[int, ...]]

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        return self.file.stem


@dataclass(frozen=True)
class Network:
    """A set of weights with the graphs that use them.

    Parameters
    ----------
    name
        Of the weights' file, without suffix.
    graphs
        The whole network first, then its parts and variants.
    """

    name: str
    graphs: tuple[Graph, ...]

    @property
    def whole(self) -> Graph:
        """The graph of the network as it was trained."""
        return self.graphs[0]


def networks_of(bundle: Bundle) -> tuple[Network, ...]:
    """Give a bundle's networks in order of name.

    Raises
    ------
    BundleError
        If the bundle has no graph, a graph cannot be read, or weights have no graph of the whole network.
    """
    graphs = [read_graph(bundle.file(name)) for name in sorted(bundle.card.files) if name.endswith(SUFFIX)]
    if not graphs:
        raise BundleError(f"The bundle {bundle.card.bundle_id} has no {SUFFIX} graph to export: train it again.")
    found = []
    for weights in dict.fromkeys(graph.weights for graph in graphs):
        name = Path(weights).stem
        own = sorted((graph for graph in graphs if graph.weights == weights), key=lambda each: each.name != name)
        if own[0].name != name:
            raise BundleError(f"The bundle {bundle.card.bundle_id} lacks {name}{SUFFIX}: restore it or train again.")
        found.append(Network(name, tuple(own)))
    return tuple(found)


def read_graph(file: Path) -> Graph:
    """Read what a graph says of itself, without its weights.

    Raises
    ------
    BundleError
        If it is damaged or was not exported by this project.
    """
    try:
        model = onnx.load(file, load_external_data=False)
    except (DecodeError, OSError) as fault:
        raise unreadable(file) from fault
    about = {entry.key: entry.value for entry in model.metadata_props}
    if "weights" not in about or len(model.graph.input) != 1:
        raise BundleError(f"The graph {file.name} does not name its weights: export it again with this version.")
    channels, rows, columns = _shape_of(model.graph.input[0])
    return Graph(
        file=file,
        weights=about["weights"],
        pooling=about.get("pooling", ""),
        opset=next(entry.version for entry in model.opset_import if entry.domain == ""),
        image_shape=(channels, rows, columns),
        outputs={output.name: _shape_of(output) for output in model.graph.output},
    )


def _shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """All axes but the first, which is the images'."""
    return tuple(side.dim_value for side in value.type.tensor_type.shape.dim)[1:]
