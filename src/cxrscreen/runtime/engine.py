"""One network, ready to run: the contract that pipelines are written against."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cxrscreen.errors import BundleError

Backend = Literal["openvino", "onnxruntime", "torch"]
"""``"openvino"`` is the product; ``"onnxruntime"`` needs the runtime extra; ``"torch"`` is the reference, needs the
training extra and computes on CUDA where it is present."""

Precision = Literal["f32", "bf16", "int8"]
"""Arithmetic inside the engine; inputs and outputs are float32 in all. bf16 is faster and costs about 2 digits; int8
runs the 8-bit graph that :mod:`cxrscreen.runtime.export_int8` wrote. OpenVINO has all three, the others f32 alone."""

INT8_SUFFIX = "-int8.xml"
"""After a graph's stem: its 8-bit twin, in OpenVINO's own form, with a ``.bin`` beside it."""


class Engine(Protocol):
    """A compiled network; safe to call from several threads."""

    @property
    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """The network's tensors by state_dict name, for example ``"classifier.weight"`` (K, 1024) for a CAM."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the input."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""

    def __call__(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network.

        Parameters
        ----------
        image
            float32 (N, C, H, W) with C, H and W as :attr:`image_shape`.

        Returns
        -------
        dict
            float32 arrays by output name, owned by the caller.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """


@dataclass(frozen=True)
class EngineSettings:
    """What runs a bundle's networks, and how.

    Parameters
    ----------
    backend
        What runs them.
    precision
        Arithmetic inside; None: the one that the bundle's card names for OpenVINO, f32 for the others. With int8 a
        network without an 8-bit graph runs in f32 beside one that has it.
    threads
        Threads for one call; None leaves it to the backend.
    streams
        Calls that run at the same time, each with its own ``threads``. More than one is for many images: it does more
        of them a second, and each takes longer.
    cache
        A folder for compiled networks (OpenVINO); None compiles each time.
    """

    backend: Backend = "openvino"
    precision: Precision | None = None
    threads: int | None = None
    streams: int = 1
    cache: Path | None = None


DEFAULT_ENGINE = EngineSettings()


def engine_for(graph: Path, settings: EngineSettings, *, batch: int | None = None) -> Engine:
    """Load a graph as settings say; see :func:`load_engine`.

    Raises
    ------
    BundleError
        As :func:`load_engine` says.
    """
    precision = settings.precision or "f32"
    if precision == "int8" and settings.backend == "openvino" and not int8_graph(graph).is_file():
        precision = "f32"
    return load_engine(
        graph,
        backend=settings.backend,
        precision=precision,
        threads=settings.threads,
        streams=settings.streams,
        batch=batch,
        cache=settings.cache,
    )


def load_engine(
    graph: Path,
    *,
    backend: Backend = "openvino",
    precision: Precision = "f32",
    threads: int | None = None,
    streams: int = 1,
    batch: int | None = None,
    cache: Path | None = None,
) -> Engine:
    """Load an exported graph with its weights.

    Parameters
    ----------
    graph
        An ONNX file written by :mod:`cxrscreen.runtime.export`; its weights file lies beside it.
    backend
        What runs it.
    precision
        Arithmetic inside.
    threads
        Threads for one call; None leaves it to the backend.
    streams
        Calls that run at the same time; ``threads`` None shares the cores among them.
    batch
        Images of a call where that is always the same: OpenVINO then compiles for it, which is faster, and takes no
        other. None takes any number; the other backends always do.
    cache
        A folder for compiled networks (OpenVINO), which makes the next start faster; None compiles each time.

    Returns
    -------
    Engine
        The network, ready to run.

    Raises
    ------
    BundleError
        If the graph or its weights are missing or damaged, the backend is not installed, or it has not this precision.
    """
    # Each backend is imported when it is asked for: torch and ONNX Runtime need not be installed.
    if backend != "openvino" and precision != "f32":
        raise BundleError(f"The engine {backend} computes in f32 alone: choose openvino for {precision}.")
    try:
        if backend == "torch":
            from cxrscreen.runtime.torch_engine import TorchEngine  # noqa: PLC0415

            return TorchEngine(graph, threads=threads)
        if backend == "onnxruntime":
            from cxrscreen.runtime.onnxruntime_engine import OnnxRuntimeEngine  # noqa: PLC0415

            return OnnxRuntimeEngine(graph, threads=threads)
    except ModuleNotFoundError as fault:
        extra = "train" if backend == "torch" else "runtime"
        raise BundleError(
            f"The engine {backend} is not installed ({fault.name} is missing): install cxrscreen[{extra}], or choose "
            "openvino."
        ) from fault
    from cxrscreen.runtime.openvino_engine import OpenVinoEngine  # noqa: PLC0415

    return OpenVinoEngine(graph, precision=precision, threads=threads, streams=streams, batch=batch, cache=cache)


def int8_graph(graph: Path) -> Path:
    """Where the 8-bit twin of a graph lies."""
    return graph.with_name(graph.stem + INT8_SUFFIX)


def has_int8_graph(folder: Path) -> bool:
    """Whether any network in a folder has an 8-bit twin."""
    return any(folder.glob(f"*{INT8_SUFFIX}"))


def with_precision(settings: EngineSettings, measured: Mapping[str, object]) -> EngineSettings:
    """Fill in the precision, where none is asked for, with the one that a card's measurement of agreement chose.

    Parameters
    ----------
    settings
        What was asked for.
    measured
        The card's ``results``; its entry ``precision`` names the ``default``.

    Raises
    ------
    BundleError
        If the card names a precision that this version does not know.
    """
    if settings.precision is not None:
        return settings
    entry = measured.get("precision")
    chosen = entry.get("default", "f32") if isinstance(entry, Mapping) else "f32"
    if settings.backend != "openvino":
        chosen = "f32"
    if chosen not in PRECISIONS:
        raise BundleError(f"The card asks for the precision {chosen!r}, which this version does not know: update it.")
    return replace(settings, precision=chosen)


PRECISIONS: tuple[Precision, ...] = ("f32", "bf16", "int8")


def checked_image(image: NDArray[np.float32], image_shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Check an image's type and shape, and make it contiguous.

    Parameters
    ----------
    image
        What the caller gave.
    image_shape
        Channels, rows and columns that the network takes.

    Returns
    -------
    NDArray
        float32 (N, C, H, W).

    Raises
    ------
    ValueError
        If it is not float32 (N, C, H, W) with N at least 1.
    """
    if image.dtype != np.float32 or image.ndim != 4 or image.shape[1:] != image_shape or image.shape[0] == 0:
        raise ValueError(
            f"image must be float32 (N, {', '.join(map(str, image_shape))}), got {image.dtype} {image.shape}"
        )
    return np.ascontiguousarray(image)
