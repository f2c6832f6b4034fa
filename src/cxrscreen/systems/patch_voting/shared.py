"""All patches of an image from one run of the network, or of its early layers, on the whole image.

Patches overlap, so asking about each repeats most of the work. Shared maps differ from a patch's own where the
network looks over the patch's border (a patch alone is padded there, in the shared maps the image goes on), and where
a patch does not begin on a place of the maps. Both grow with the depth to which maps are shared: at a stride of 8 the
layers of EfficientNet-Lite0 have looked about 33 pixels around a place, so that half of the places of a patch of 224
have seen nothing beyond its border; at 16 and 32 none. The answers are therefore close, not equal; the patches one by
one are the reference, and how often the votes agree is measured (``cxrscreen patch-voting``). A linear layer of their
own (:mod:`cxrscreen.systems.patch_voting.shared_head`) takes back what of that is the same in all images.
"""

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.enhancement import WHITE, resize_to_square
from cxrscreen.runtime.engine import Engine
from cxrscreen.systems.patch_voting.ballots import BATCH, Ballot, ballot_of
from cxrscreen.systems.patch_voting.patches import corners_of, in_batches
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, classifier_input
from cxrscreen.systems.patch_voting.shared_head import LinearHead
from cxrscreen.systems.patch_voting.views import centres_of
from cxrscreen.systems.patch_voting.voting import class_probabilities

STRIDE = 32
"""Pixels of the network's input for each place of its last feature maps."""


def shared_side(settings: Preprocessing, side: int) -> int | None:
    """Side at which the whole image shows what a patch shows at the classifier's ``side``, pixels.

    Returns
    -------
    int or None
        None where there is nothing to share: one view of the whole image, features that are not pooled evenly, or a
        side that is no multiple of the network's stride.
    """
    if settings.approach == "global" or settings.pooling != "image":
        return None
    whole, rest = divmod(settings.image_side * side, settings.patch)
    return whole if rest == 0 and whole % STRIDE == 0 else None


def ask_early(
    early: Engine,
    late: Engine,
    image: NDArray[np.uint8],
    lungs: NDArray[np.bool_],
    settings: Preprocessing,
    batch: int = BATCH,
) -> Ballot:
    """Ask the classifier's early layers once, and its late ones about each patch, which they see padded as alone.

    Parameters
    ----------
    early, late
        The two halves of the classifier; the first compiled for :func:`shared_side`.
    image, lungs
        uint8 and bool (S, S); the mask is not empty.
    settings
        Where patches lie; the same patches as one by one, moved to the nearest place of the maps.
    batch
        Patches in one call.
    """
    maps = early(_whole_view(early, image, lungs, settings))["maps"][0]
    corners = corners_of(centres_of(image, lungs, settings), settings.field)
    places = late.image_shape[1]
    windows = windows_of(maps, np.rint(corners * places / settings.field).astype(np.int64), places)
    return ballot_of(late, corners, [late(some) for some in in_batches(windows, batch)])


def ask_shared(
    network: Engine,
    head: LinearHead,
    image: NDArray[np.uint8],
    lungs: NDArray[np.bool_],
    settings: Preprocessing,
) -> Ballot:
    """Ask the classifier about all patches of an image at once.

    Parameters
    ----------
    network
        The classifier, compiled for :func:`shared_side`.
    head
        What is asked of the pooled features: the network's own linear layer, or one fitted to shared maps.
    image, lungs
        uint8 and bool (S, S); the mask is not empty.
    settings
        Where patches lie; the same patches as one by one.
    """
    maps = network(_whole_view(network, image, lungs, settings))["features"][0]
    corners = corners_of(centres_of(image, lungs, settings), settings.field)
    cell = STRIDE * settings.image_side / network.image_shape[1]
    pooled = pooled_windows(maps, corners / cell, settings.field / cell)

    def last_maps() -> NDArray[np.float32]:
        return windows_of(maps, np.rint(corners / cell).astype(np.int64), round(settings.field / cell))

    return Ballot(corners, class_probabilities(pooled @ head.weights.T + head.bias), last_maps, pooled, head.weights)


def windows_of(maps: NDArray[np.float32], starts: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """Cut square windows out of maps (C, h, w), from rows and columns (K, 2); beyond the border its values go on.

    Returns
    -------
    ndarray
        float32 (K, C, size, size).
    """
    around = np.pad(maps, ((0, 0), (size, size), (size, size)), mode="edge")
    return np.stack([around[:, row : row + size, column : column + size] for row, column in (starts + size).tolist()])


def pooled_windows(features: NDArray[np.float32], corners: NDArray[np.float64], size: float) -> NDArray[np.float32]:
    """Mean features under square windows that need not begin at a place of the maps.

    Parameters
    ----------
    features
        float32 (C, h, w).
    corners
        float (K, 2): row and column of the windows' upper left corners, in places; a part may lie outside the maps and
        then does not count.
    size
        Side of the windows, in places.

    Returns
    -------
    ndarray
        float32 (K, C).
    """
    rows = _overlaps(corners[:, 0], size, features.shape[1])
    columns = _overlaps(corners[:, 1], size, features.shape[2])
    shares = (rows[:, :, None] * columns[:, None, :]).reshape(len(corners), -1)
    # One matrix product: every place of every window once, most with a share of 0.
    return np.asarray(shares @ features.reshape(len(features), -1).T, dtype=np.float32)


def _whole_view(
    network: Engine, image: NDArray[np.uint8], lungs: NDArray[np.bool_], settings: Preprocessing
) -> NDArray[np.float32]:
    """The whole image as the network takes it, float32 (1, 1, side, side)."""
    grey, mask = (resize_to_square(values.astype(np.float32), network.image_shape[1]) for values in (image, lungs))
    return classifier_input(grey / np.float32(WHITE), mask, settings.shown)[None, None]


def _overlaps(starts: NDArray[np.float64], size: float, places: int) -> NDArray[np.float32]:
    """Share of each window that lies over each place along one axis, (K, places), rows of sum 1."""
    first = np.arange(places)
    ends = np.minimum(starts[:, None] + size, first + 1)
    inside = np.clip(ends - np.maximum(starts[:, None], first), 0.0, 1.0)
    return np.asarray(inside / inside.sum(axis=1, keepdims=True), dtype=np.float32)
