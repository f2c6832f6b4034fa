"""What every engine reads of a graph, whatever runs it: its weights, the input's shape, the outputs' names."""

from collections.abc import Mapping
from pathlib import Path

from cxrscreen.errors import BundleError
from cxrscreen.runtime.weights import Weights


class GraphEngine:
    """The part of an engine that is the same whatever runs it.

    Parameters
    ----------
    weights
        See :func:`weights_of`.
    image_shape
        Channels, rows and columns of the input.
    outputs
        Names of the outputs.
    """

    def __init__(self, weights: Weights, image_shape: tuple[int, int, int], outputs: tuple[str, ...]) -> None:
        self._weights, self._image_shape, self._outputs = weights, image_shape, outputs

    @property
    def weights(self) -> Weights:
        """The network's tensors by state_dict name."""
        return self._weights

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the input."""
        return self._image_shape

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self._outputs


def check_present(graph: Path) -> None:
    """Raise BundleError where a graph's file is missing."""
    if not graph.is_file():
        raise BundleError(f"The graph {graph} is missing: put the complete model bundle there.")


def unreadable(graph: Path) -> BundleError:
    """Build the error for a graph that cannot be read."""
    return BundleError(
        f"The graph {graph} cannot be read, it or the weights beside it are missing or damaged: "
        "copy the model bundle again."
    )


def weights_of(graph: Path, about: Mapping[str, str]) -> Weights:
    """Open the weights that a graph names.

    Parameters
    ----------
    graph
        Its file; the weights lie beside it.
    about
        What the graph says of itself: ``weights`` and ``weights_sha256``.

    Raises
    ------
    BundleError
        If it does not name them, or they are missing or damaged.
    """
    if not {"weights", "weights_sha256"} <= about.keys():
        raise BundleError(f"The graph {graph} does not name its weights: export it again with this version.")
    return Weights(graph.with_name(about["weights"]), about["weights_sha256"])
