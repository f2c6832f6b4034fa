"""An image as its file describes it, before the reader judges its polarity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.radiograph import Provenance, ViewPosition

# ITU-R BT.601 luma, the weights of every common grey conversion.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

COLOURED_SPREAD = 0.15
"""Largest difference between a pixel's red, green and blue, in [0, 1], that still passes for grey (a tint)."""
COLOURED_SHARE = 0.10
"""Share of coloured pixels from which a picture is called a colour picture."""

COLOUR_WARNING = "The image is strongly coloured and may be a photograph or a figure; its brightness was used."


@dataclass(frozen=True, eq=False)
class Decoded:
    """Grey values and facts of one file.

    Parameters
    ----------
    pixels
        float32 (H, W), range [0, 1], bright = dense as far as the file's own header says.
    background
        bool (H, W), True where the file says there is no image (padding, full transparency), or None.
    provenance, pixel_spacing_mm, view_position, warnings
        As in `Radiograph`.
    """

    pixels: NDArray[np.float32]
    background: NDArray[np.bool_] | None
    provenance: Provenance
    pixel_spacing_mm: tuple[float, float] | None = None
    view_position: ViewPosition = "unknown"
    warnings: tuple[str, ...] = ()


def luminance(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn colours into grey values by ITU-R BT.601 luma; equal channels keep their value exactly.

    Parameters
    ----------
    colours
        float32 (H, W, 3), red, green, blue, range [0, 1].

    Returns
    -------
    float32 (H, W)
        Range [0, 1].
    """
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red)
    grey: NDArray[np.float32] = np.clip(colours @ _LUMA, 0.0, 1.0).astype(np.float32)
    return grey


def is_coloured(colours: NDArray[np.float32]) -> bool:
    """Whether a picture is in colour rather than grey with coloured marks or a tint.

    Parameters
    ----------
    colours
        float32 (H, W, 3), range [0, 1].

    Returns
    -------
    bool
        True where more than ``COLOURED_SHARE`` of the pixels spread wider than ``COLOURED_SPREAD``.
    """
    step = max(1, min(colours.shape[:2]) // 256)
    red, green, blue = np.moveaxis(colours[::step, ::step], 2, 0)
    # Ten times as fast as a reduction over an axis of three.
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return bool((spread > COLOURED_SPREAD).mean() > COLOURED_SHARE)
