"""Asking a network twice, about a radiograph and about its mirror image."""

import numpy as np
from numpy.typing import NDArray

from cxrscreen.runtime.engine import Engine


def mirrored_outputs(engine: Engine, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Outputs of a network for images, averaged with those for their mirror images, which are mirrored back.

    Where the head is linear, the averaged features give the averaged logit, and the maps made from them explain it.

    Parameters
    ----------
    engine
        A network with outputs such as ``logits`` (N, L), ``pooled`` (N, K), and maps or masks (N, K, h, w).
    images
        float32 (N, C, S, S); the engine is given 2N.

    Returns
    -------
    dict
        As the engine's for N images.
    """
    count = len(images)
    both = engine(np.concatenate([images, images[..., ::-1]]))
    return {
        name: (values[:count] + (values[count:, ..., ::-1] if values.ndim == 4 else values[count:])) / np.float32(2)
        for name, values in both.items()
    }
