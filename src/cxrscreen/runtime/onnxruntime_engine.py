"""The second engine: ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cxrscreen.runtime.engine import checked_image
from cxrscreen.runtime.graph import GraphEngine, check_present, unreadable, weights_of

_ERRORS_ONLY = 3


class OnnxRuntimeEngine(GraphEngine):
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
        check_present(graph)
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        # The library's own errors have no common base below Exception.
        except Exception as fault:
            raise unreadable(graph) from fault
        _, channels, rows, columns = self._session.get_inputs()[0].shape
        super().__init__(
            weights_of(graph, self._session.get_modelmeta().custom_metadata_map),
            (int(channels), int(rows), int(columns)),
            tuple(output.name for output in self._session.get_outputs()),
        )

    def __call__(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network on float32 (N, C, H, W); float32 arrays by output name, owned by the caller."""
        results = self._session.run(self._outputs, {"image": checked_image(image, self._image_shape)})
        return {name: np.asarray(values, np.float32) for name, values in zip(self._outputs, results, strict=True)}
