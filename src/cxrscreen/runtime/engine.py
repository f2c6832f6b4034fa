"""One network, ready to run: the contract that pipelines are written against."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Backend = Literal["openvino", "torch"]
"""``"openvino"`` is the product; ``"torch"`` is the reference, and needs the training extra."""

Precision = Literal["f32", "bf16"]
"""Arithmetic inside the engine; inputs and outputs are float32 in both. bf16 is faster and costs about 2 digits."""


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


def load_engine(
    graph: Path,
    *,
    backend: Backend = "openvino",
    precision: Precision = "f32",
    threads: int | None = None,
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
        Arithmetic inside; the torch backend has f32 alone.
    threads
        Threads for one call; None leaves it to the backend.
    cache
        A folder for compiled networks (OpenVINO), which makes the next start faster; None compiles each time.

    Returns
    -------
    Engine
        The network, ready to run.

    Raises
    ------
    BundleError
        If the graph or its weights are missing or damaged.
    ValueError
        If the torch backend is asked for bf16.
    """
    # Each backend is imported when it is asked for: torch need not be installed.
    if backend == "torch":
        from cxrscreen.runtime.torch_engine import TorchEngine  # noqa: PLC0415

        if precision != "f32":
            raise ValueError("the torch engine is the float32 reference and has no bf16")
        return TorchEngine(graph, threads=threads)
    from cxrscreen.runtime.openvino_engine import OpenVinoEngine  # noqa: PLC0415

    return OpenVinoEngine(graph, precision=precision, threads=threads, cache=cache)


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
