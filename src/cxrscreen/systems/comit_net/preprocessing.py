"""What the network sees of a radiograph; training and screening call the same functions."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from cxrscreen.imaging.enhancement import resize_to_square
from cxrscreen.imaging.enhancement.levels import from_levels, to_levels

MaskTask = Literal["lungs", "disease"]


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Preprocessing:
    """The card's ``preprocessing``, beside the network's own input size.

    Parameters
    ----------
    masks
        Which of the two masks the network has learned: where no image had one, the others were trained without.
    low, high
        Percentiles of the grey values that become black and white; 0 and 100: the image's own range.
    mirrored
        The network sees the radiograph and its mirror image, and its answers are averaged.
    healthy_regions
        Images without disease have taught the network an empty region. Otherwise it marks healthy lungs as well, and
        the region is shown only where a disease is called.
    """

    masks: tuple[MaskTask, ...]
    low: float = Field(default=1.0, ge=0, lt=50)
    high: float = Field(default=99.0, gt=50, le=100)
    mirrored: bool = False
    healthy_regions: bool = False


def grey_view(pixels: NDArray[np.float32], side: int, settings: Preprocessing) -> NDArray[np.uint8]:
    """The whole radiograph as a square between two percentiles, rounded as training stores it.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    side
        Of the network's input, pixels (the paper: 224). The aspect ratio is given up, as several sources have given
        theirs up.
    settings
        The percentiles.

    Returns
    -------
    ndarray
        uint8 (side, side).
    """
    small = resize_to_square(pixels, side)
    low, high = np.percentile(small, (settings.low, settings.high))
    stretched = np.clip((small - np.float32(low)) / np.float32(max(float(high - low), 1e-6)), 0.0, 1.0)
    return to_levels(np.asarray(stretched, dtype=np.float32))


def network_input(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey values in [0, 1] as the network takes them, float32 in [-1, 3] of the same shape."""
    return np.asarray(4.0 * grey - 1.0, dtype=np.float32)


def view_input(view: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The network's input for a view, float32 (1, S, S) in [-1, 3]."""
    return network_input(from_levels(view))[None]
