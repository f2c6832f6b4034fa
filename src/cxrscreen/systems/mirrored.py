"""Asking a network twice, about a radiograph and about its mirror image."""

import numpy as np
from numpy.typing import NDArray

from cxrscreen.runtime.engine import Engine


def mirrored_outputs(engine: Engine, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Outputs of a network for an image, averaged with those for its mirror image, which are mirrored back.

    Where the head is linear, the averaged features give the averaged logit, and the maps made from them explain it.

    Parameters
    ----------
    engine
        A network with outputs such as ``logits`` (N, L), ``pooled`` (N, K), and maps or masks (N, K, h, w).
    image
        float32 (1, C, S, S).

    Returns
    -------
    dict
        As the engine's for one image.
    """
    both = engine(np.concatenate([image, image[..., ::-1]]))
    return {
        name: (values[:1] + (values[1:, ..., ::-1] if values.ndim == 4 else values[1:])) / np.float32(2)
        for name, values in both.items()
    }
