"""Asking a network twice, about a radiograph and about its mirror image."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from cxrscreen.runtime.engine import Engine


def mirrored_outputs(
    engine: Engine, images: NDArray[np.float32], apart: Collection[str] = ()
) -> dict[str, NDArray[np.float32]]:
    """Outputs of a network for images, averaged with those for their mirror images, which are mirrored back.

    Where the head is linear, the averaged features give the averaged logit, and the maps made from them explain it;
    where it is not, the features of either are needed.

    Parameters
    ----------
    engine
        A network with outputs such as ``logits`` (N, L), ``pooled`` (N, K), and maps or masks (N, K, h, w).
    images
        float32 (N, C, S, S); the engine is given 2N.
    apart
        Outputs that are not averaged.

    Returns
    -------
    dict
        As the engine's for N images; those in ``apart`` for 2N, the images and then their mirror images, maps mirrored
        back.
    """
    count = len(images)
    both = engine(np.concatenate([images, images[..., ::-1]]))
    back = {
        name: (values[:count], values[count:, ..., ::-1] if values.ndim == 4 else values[count:])
        for name, values in both.items()
    }
    return {
        name: np.concatenate(two) if name in apart else (two[0] + two[1]) / np.float32(2) for name, two in back.items()
    }
