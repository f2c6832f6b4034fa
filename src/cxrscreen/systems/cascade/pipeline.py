"""Screen one radiograph with the cascade: arrays and engines, no torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrscreen.runtime.engine import Engine
from cxrscreen.systems.cascade.lungs import segmenter_input, two_lungs


@dataclass(frozen=True, eq=False)
class Lungs:
    """Stage 1's answer at the network's size.

    Parameters
    ----------
    probability
        float32 (S, S) in [0, 1].
    mask
        uint8 (S, S): 0 background, 1 right lung (viewer's left), 2 left lung.
    """

    probability: NDArray[np.float32]
    mask: NDArray[np.uint8]


def find_lungs(segmenter: Engine, pixels: NDArray[np.float32], side: int) -> Lungs:
    """Stage 1: the lung mask of a radiograph.

    Parameters
    ----------
    segmenter
        Engine of the U-Net.
    pixels
        float32 (H, W) in [0, 1].
    side
        Side of the U-Net's input.
    """
    logits = segmenter(segmenter_input(pixels, side)[None, None])["logits"][0, 0]
    probability = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
    return Lungs(probability, two_lungs(probability))
