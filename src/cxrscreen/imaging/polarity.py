"""Whether a chest image is stored inverted (air white, bone black) without saying so.

The answer is a correlation with a drawn chest: the image, without its uniform margins, is averaged to 12 x 12 cells and
correlated with ``CHEST``. Inverting an image exactly changes the sign of the score, so the two kinds of mistake
mirror each other, and an image that does not look like a frontal chest scores near zero and is left alone.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.geometry import resize, uniform_margins

Polarity = Literal["normal", "inverted", "unsure"]

INVERTED_BELOW = -0.30
"""Score at or below which an image is taken as inverted. Correlation coefficient, in [-1, 1]."""
NORMAL_ABOVE = 0.20
"""Score from which the polarity is beyond doubt; between the two bounds it is left alone and a warning is given."""

WORKING_SIDE = 128
"""Side in pixels at which margins are looked for."""
MIN_CONTENT_SIDE = 40
"""Margins that would leave less than this many of the ``WORKING_SIDE`` pixels are not believed."""
MARGIN_STRAY_SHARE = 0.30
"""Share of a margin line that burned-in text and markers may take at ``WORKING_SIDE``."""

# One half of a frontal chest, outer edge to midline, shoulders to abdomen; the other half mirrors it.
# Dark (-): air beside the neck, lungs, air beside the body. Bright (+): mediastinum, heart, abdomen.
_HALF_CHEST = np.array(
    [
        [-3, -3, -2, -2, -1, 0],
        [-1, -1, -1, -1, -1, 0],
        [0, 0, 0, -1, -1, 0],
        [0, 0, 0, -2, -1, 0],
        [0, 0, 0, -2, -1, 1],
        [0, 1, -1, -2, 0, 1],
        [-1, 0, -1, -1, 0, 2],
        [-1, 0, 0, 0, 1, 2],
        [-1, 0, 0, 1, 1, 2],
        [-2, 0, 1, 2, 2, 2],
        [-2, 0, 2, 2, 2, 3],
        [-2, 0, 2, 2, 3, 3],
    ],
    dtype=np.float32,
)
CHEST: NDArray[np.float32] = np.hstack([_HALF_CHEST, _HALF_CHEST[:, ::-1]])
"""float32 (12, 12): expected brightness of a frontal chest, relative."""


def judge_polarity(pixels: NDArray[np.float32]) -> Polarity:
    """Say whether a chest image is stored with bright = dense.

    Parameters
    ----------
    pixels
        (H, W), range [0, 1].

    Returns
    -------
    {"normal", "inverted", "unsure"}
        ``"unsure"`` where the score lies between ``INVERTED_BELOW`` and ``NORMAL_ABOVE``.
    """
    score = polarity_score(pixels)
    if score <= INVERTED_BELOW:
        return "inverted"
    return "normal" if score >= NORMAL_ABOVE else "unsure"


def detect_inverted(pixels: NDArray[np.float32]) -> bool:
    """Whether a chest image is stored inverted beyond reasonable doubt.

    Parameters
    ----------
    pixels
        (H, W), range [0, 1].

    Returns
    -------
    bool
        True where ``polarity_score`` is at most ``INVERTED_BELOW``.
    """
    return judge_polarity(pixels) == "inverted"


def polarity_score(pixels: NDArray[np.float32]) -> float:
    """Correlate the image without its uniform margins with the drawn chest.

    Parameters
    ----------
    pixels
        (H, W), range [0, 1].

    Returns
    -------
    float
        Pearson correlation in [-1, 1]; positive where bright = dense, 0 for an image without contrast.
        ``polarity_score(1 - pixels) == -polarity_score(pixels)`` up to rounding.
    """
    image = resize(pixels, (WORKING_SIDE, WORKING_SIDE))
    top, bottom, left, right = uniform_margins(image, stray_share=MARGIN_STRAY_SHARE)
    inner = image[top : WORKING_SIDE - bottom, left : WORKING_SIDE - right]
    if min(inner.shape) < MIN_CONTENT_SIDE:
        inner = image
    cells = resize(inner, (CHEST.shape[0], CHEST.shape[1]))
    cells = cells - cells.mean()
    chest = CHEST - CHEST.mean()
    scale = float(np.linalg.norm(cells)) * float(np.linalg.norm(chest))
    # Below a thousandth of the grey range the cells hold rounding noise, not anatomy.
    if float(np.abs(cells).max()) < 1e-3:
        return 0.0
    return float(np.clip((cells * chest).sum() / scale, -1.0, 1.0))
