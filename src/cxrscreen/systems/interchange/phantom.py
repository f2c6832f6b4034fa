"""What an exported network is compared on: a phantom, never a patient's image, and how far answers differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.phantoms import make_phantom
from cxrscreen.errors import BundleError
from cxrscreen.imaging.enhancement import resize_to_square
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.interchange.networks import Graph

TOLERANCE = 1e-3
"""Largest allowed difference of two float32 engines, as a share of the largest value that the output has, or of 1."""
SEED, SIDE = 10, 256
LARGE = 512
"""Side from which one image is enough: two would take time and no other path."""
GREY_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Difference:
    """How far two engines lie apart in one output.

    Parameters
    ----------
    largest
        Largest absolute difference.
    scale
        Largest absolute value of the bundle's own engine, at least 1.
    """

    largest: float
    scale: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is one of rounding; not where a value is no number."""
        return self.largest <= TOLERANCE * self.scale


def network_images(graph: Graph, value_range: tuple[float, float] = (-1.0, 3.0)) -> NDArray[np.float32]:
    """Phantoms as a network could see them: one that shows disease, and its mirror image.

    Parameters
    ----------
    graph
        For its input's shape. A part of a network, which takes maps, gets positive numbers from a fixed seed.
    value_range
        Grey values of black and white.

    Returns
    -------
    ndarray
        float32 (N, C, H, W), N 2, or 1 for large images; black outside the lungs where the network pools over them.
    """
    channels, rows, columns = graph.image_shape
    if channels not in GREY_CHANNELS:
        return np.random.default_rng(SEED).uniform(0, 2, (2, *graph.image_shape)).astype(np.float32)
    pixels, lungs = _phantom()
    grey = resize_to_square(pixels, rows)
    if graph.pooling == "lungs":
        grey = grey * (resize_to_square(lungs, rows) > 0.5)
    black, white = value_range
    image = np.asarray(black + (white - black) * grey, np.float32)[None, None].repeat(channels, axis=1)
    if max(rows, columns) > LARGE:
        return np.ascontiguousarray(image)
    return np.ascontiguousarray(np.concatenate([image, image[..., ::-1]]))


def own_answers(graph: Graph, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What the bundle's own engine (OpenVINO, float32) answers."""
    return load_engine(graph.file)(image)


def differences(
    found: Mapping[str, NDArray[np.float32]], own: Mapping[str, NDArray[np.float32]]
) -> dict[str, Difference]:
    """Compare answers by output name.

    Parameters
    ----------
    found
        Of the exported network; all of its outputs must be among the bundle's.
    own
        Of the bundle's engine.

    Raises
    ------
    BundleError
        If an output is not the bundle's or has another shape.
    """
    measured = {}
    for name, values in found.items():
        if name not in own or own[name].shape != values.shape:
            raise BundleError(f"The exported network has an output {name} that its bundle has not: export it again.")
        scale = max(1.0, float(np.abs(own[name]).max()))
        # NaN compares as no agreement.
        measured[name] = Difference(float(np.abs(values - own[name]).max()), scale)
    return measured


@cache
def _phantom() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pixels and lungs, float32 (SIDE, SIDE) in [0, 1]."""
    phantom = make_phantom(SEED, "covid19", shape=(SIDE, SIDE))
    return phantom.pixels, (phantom.lungs > 0).astype(np.float32)
