"""The second engine: ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cxrscreen.errors import BundleError
from cxrscreen.runtime.engine import checked_image
from cxrscreen.runtime.weights import Weights

_ERRORS_ONLY = 3


class OnnxRuntimeEngine:
    """A graph run by ONNX Runtime in float32; the same file as OpenVINO reads, any number of images a call.

    Parameters
    ----------
    graph
        An ONNX file written by :mod:`cxrscreen.runtime.export`; its weights file lies beside it.
    threads
        Threads for one call; None for all cores.

    Raises
    ------
    BundleError
        If the graph or its weights are missing or damaged.
    """

    def __init__(self, graph: Path, *, threads: int | None = None) -> None:
        if not graph.is_file():
            raise BundleError(f"The graph {graph} is missing: put the complete model bundle there.")
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        # The library's own errors have no common base below Exception.
        except Exception as fault:
            raise BundleError(
                f"The graph {graph} cannot be read, it or the weights beside it are missing or damaged: "
                "copy the model bundle again."
            ) from fault
        about = self._session.get_modelmeta().custom_metadata_map
        if not {"weights", "weights_sha256"} <= about.keys():
            raise BundleError(f"The graph {graph} does not name its weights: export it again with this version.")
        self._weights = Weights(graph.with_name(about["weights"]), about["weights_sha256"])
        _, channels, rows, columns = self._session.get_inputs()[0].shape
        self._image_shape = (int(channels), int(rows), int(columns))
        self._outputs = tuple(output.name for output in self._session.get_outputs())

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

    def __call__(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network on float32 (N, C, H, W); float32 arrays by output name, owned by the caller."""
        results = self._session.run(self._outputs, {"image": checked_image(image, self._image_shape)})
        return {name: np.asarray(values, np.float32) for name, values in zip(self._outputs, results, strict=True)}
