"""The enhancements by name, and the three that COVID-CXNet sees at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.enhancement.adaptive import CLIP_LIMIT, TILES, adaptive_equalisation, clahe
from cxrscreen.imaging.enhancement.beasf import GAMMA, beasf
from cxrscreen.imaging.enhancement.matching import match_histogram
from cxrscreen.imaging.enhancement.universal import WHITE, equalise_histogram

Method = Literal["original", "he", "ahe", "clahe", "beasf", "match"]

METHODS: dict[Method, str] = {
    "original": "Original",
    "he": "Histogram equalisation (HE)",
    "ahe": "Adaptive equalisation (AHE)",
    "clahe": "Contrast-limited AHE (CLAHE)",
    "beasf": "Bi-histogram equalisation with adaptive sigmoids (BEASF)",
    "match": "Histogram matching",
}
"""Names in words, in the order of the paper's Fig. 3."""


@dataclass(frozen=True)
class Enhancement:
    """Settings of the methods; the defaults are the COVID-CXNet authors'.

    Parameters
    ----------
    clip_limit
        Of CLAHE, as a multiple of a tile's mean bin.
    tiles
        Of AHE and CLAHE, in a row and in a column.
    gamma
        Of BEASF.
    """

    clip_limit: float = CLIP_LIMIT
    tiles: int = TILES
    gamma: float = GAMMA


def enhance(
    pixels: NDArray[np.float32],
    method: Method,
    settings: Enhancement = Enhancement(),
    reference: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Enhance an image by a named method.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    method
        A key of :data:`METHODS`.
    settings
        Numbers of the methods.
    reference
        For ``match``: grey values of the image to match, from
        :func:`~cxrscreen.imaging.enhancement.matching.grey_quantiles`.

    Returns
    -------
    ndarray
        float32 (H, W) in [0, 1].

    Raises
    ------
    ValueError
        If ``match`` is asked for without a reference.
    """
    if method == "he":
        return equalise_histogram(pixels) / np.float32(WHITE)
    if method == "ahe":
        return adaptive_equalisation(pixels, settings.tiles)
    if method == "clahe":
        return clahe(pixels, settings.clip_limit, settings.tiles)
    if method == "beasf":
        return beasf(pixels, settings.gamma)
    if method == "match":
        if reference is None:
            raise ValueError("histogram matching needs a reference")
        return match_histogram(pixels, reference)
    return pixels


def three_channels(pixels: NDArray[np.float32], settings: Enhancement = Enhancement()) -> NDArray[np.float32]:
    """Original, CLAHE and BEASF as channels (COVID-CXNet paper, section 3.2).

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    settings
        Numbers of the methods.

    Returns
    -------
    ndarray
        float32 (3, H, W) in [0, 1].
    """
    return np.stack([enhance(pixels, method, settings) for method in ("original", "clahe", "beasf")])
