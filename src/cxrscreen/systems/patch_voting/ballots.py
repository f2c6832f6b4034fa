"""What the classifier says of each patch of an image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrscreen.runtime.engine import Engine
from cxrscreen.systems.patch_voting.patches import corners_of, in_batches
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing
from cxrscreen.systems.patch_voting.views import centres_of, patch_views
from cxrscreen.systems.patch_voting.voting import class_probabilities

BATCH = 20
"""Patches in one call of the engine; the votes do not depend on it."""

Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Ballot:
    """The patches of one image and what the classifier said of them.

    Parameters
    ----------
    corners
        int64 (K, 2): row and column of each patch's upper left pixel in the image that patches are cut from.
    probabilities
        float32 (K, L): softmax probabilities.
    last_maps
        Gives float32 (K, C, u, v), the last feature maps: many bytes, which only an explanation needs.
    pooled
        float32 (K, C).
    weights
        float32 (L, C), of the linear layer that gave the probabilities.
    """

    corners: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    last_maps: Callable[[], NDArray[np.float32]]
    pooled: NDArray[np.float32]
    weights: NDArray[np.float32]


def ask_patches(
    network: Engine,
    image: NDArray[np.uint8],
    lungs: NDArray[np.bool_],
    settings: Preprocessing,
    batch: int = BATCH,
) -> Ballot:
    """Draw the patches of an image and ask the classifier about each.

    Parameters
    ----------
    network
        The classifier.
    image, lungs
        uint8 and bool (S, S); the mask is not empty.
    settings
        Where patches lie and what they show.
    batch
        Patches in one call.
    """
    corners = corners_of(centres_of(image, lungs, settings), settings.field)
    views = patch_views(image, lungs, corners, settings, network.image_shape[1])
    return ballot_of(network, corners, [network(some) for some in in_batches(views, batch)])


def ballot_of(network: Engine, corners: NDArray[np.int64], answers: Sequence[Outputs]) -> Ballot:
    """Put the network's outputs for batches of patches together; ``corners`` int64 (K, 2)."""

    def together(name: str) -> NDArray[np.float32]:
        return np.concatenate([answer[name] for answer in answers])

    probabilities = class_probabilities(together("logits"))
    weights = network.weights["classifier.weight"]
    return Ballot(corners, probabilities, lambda: together("features"), together("pooled"), weights)
