"""Adaptive histogram equalisation, without and with a limit of contrast, by OpenCV."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.enhancement.levels import from_levels, to_levels

CLIP_LIMIT, TILES = 2.0, 8
"""The COVID-CXNet authors' settings."""


def clahe(pixels: NDArray[np.float32], clip_limit: float = CLIP_LIMIT, tiles: int = TILES) -> NDArray[np.float32]:
    """Contrast-limited adaptive histogram equalisation.

    Each tile is equalised by its own histogram, whose bins are cut at a limit; between the tiles' centres the results
    are interpolated (Pizer et al., 1987; Zuiderveld, 1994; COVID-CXNet paper, section 3.2).

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1]; 256 grey levels are told apart.
    clip_limit
        Largest bin, as a multiple of the mean bin of a tile.
    tiles
        Tiles in a row and in a column.

    Returns
    -------
    ndarray
        float32 (H, W) in [0, 1].
    """
    return from_levels(np.asarray(cv2.createCLAHE(clip_limit, (tiles, tiles)).apply(to_levels(pixels)), np.uint8))


def adaptive_equalisation(pixels: NDArray[np.float32], tiles: int = TILES) -> NDArray[np.float32]:
    """Adaptive histogram equalisation: `clahe` without a limit, which also enlarges the noise of even regions."""
    # OpenCV takes 0 for no limit.
    return clahe(pixels, 0.0, tiles)
