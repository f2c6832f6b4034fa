"""The default engine: OpenVINO on the CPU."""

import threading
from functools import lru_cache
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from cxrscreen.errors import BundleError
from cxrscreen.runtime.engine import Precision, checked_image, int8_graph
from cxrscreen.runtime.graph import GraphEngine, check_present, unreadable, weights_of

# OpenVINO learns of NumPy at the first array that it is given. Where two threads give it their first ones at once, each
# waits for what the other holds, for ever; while a module is imported there is one thread alone.
ov.Tensor(np.zeros(1, np.float32))


class OpenVinoEngine(GraphEngine):
    """A graph compiled by OpenVINO for the CPU.

    Parameters
    ----------
    graph
        An ONNX file written by :mod:`cxrscreen.runtime.export`; its weights file lies beside it.
    precision
        Arithmetic inside; for ``"int8"`` the graph's 8-bit twin lies beside it.
    threads
        Threads for one call; None for all cores, shared among the streams.
    streams
        Calls that run at the same time.
    batch
        Images of every call; None: any number, at the price of some speed.
    cache
        A folder for compiled networks, or None.

    Raises
    ------
    BundleError
        If the graph or its weights are missing or damaged.
    """

    def __init__(
        self,
        graph: Path,
        *,
        precision: Precision = "f32",
        threads: int | None = None,
        streams: int = 1,
        batch: int | None = None,
        cache: Path | None = None,
    ) -> None:
        model = _read(int8_graph(graph) if precision == "int8" else graph)
        weights = weights_of(graph, _about(model))
        if batch is not None:
            model.reshape([batch, *model.input(0).partial_shape[1:]])
        # What an 8-bit graph leaves in floating point stays exact.
        inside = "f32" if precision == "int8" else precision
        settings: dict[str, str | int | bool] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": inside}
        if streams > 1:
            settings["NUM_STREAMS"] = streams
            # Every network ties its streams to cores for itself: two jobs in two networks may then share one core.
            settings["ENABLE_CPU_PINNING"] = False
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads * streams
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            settings["CACHE_DIR"] = str(cache)
        try:
            self._compiled = _core().compile_model(model, "CPU", settings)
        except RuntimeError as fault:
            raise BundleError(f"The graph {graph} does not compile on this processor: export it again.") from fault
        _, *sides = self._compiled.input(0).partial_shape
        channels, rows, columns = (side.get_length() for side in sides)
        outputs = tuple(output.get_any_name() for output in self._compiled.outputs)
        super().__init__(weights, (channels, rows, columns), outputs)
        self._batch = batch
        # An infer request holds its own buffers, so each thread has one.
        self._requests = threading.local()

    def __call__(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network on float32 (N, C, H, W); float32 arrays by output name, owned by the caller."""
        image = checked_image(image, self._image_shape)
        if self._batch not in (None, len(image)):
            raise ValueError(f"this network was compiled for {self._batch} images a call, got {len(image)}")
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        results = request.infer([image], share_inputs=True, share_outputs=True)
        return {name: np.array(results[index], dtype=np.float32) for index, name in enumerate(self._outputs)}


@lru_cache(maxsize=1)
def _core() -> ov.Core:
    return ov.Core()


def _read(graph: Path) -> ov.Model:
    check_present(graph)
    try:
        return _core().read_model(graph)
    except RuntimeError as fault:
        raise unreadable(graph) from fault


def _about(model: ov.Model) -> dict[str, str]:
    names = [name for name in ("weights", "weights_sha256") if model.has_rt_info(["framework", name])]
    return {name: str(model.get_rt_info(["framework", name]).value) for name in names}
