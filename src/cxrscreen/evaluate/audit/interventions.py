"""Edits of a radiograph that take something away: the lungs, all but the lungs, all but the borders, marks.

Every function takes pixels, float32 (H, W) in [0, 1], bright = dense, and gives new ones of that shape and range. Black
is 0, as outside the patient.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Region = NDArray[np.bool_]

DILATION = 0.03
"""Growth of the lung mask before it blanks or keeps, as a share of the shorter side."""
BORDER = 0.12
"""Width of the border, as a share of the shorter side."""
CORNER = 0.18
"""Side of a corner square, as a share of the shorter side."""
MARK_BRIGHTNESS = 0.90
"""Grey value, between the 1st and the 99.8th percentile of the image, from which a small structure may be a mark."""
LARGEST_MARK = 0.01
"""Largest area of one mark, as a share of the image."""
MARK_BORDER = 0.25
"""Marks are looked for in a border of this width, as a share of each side."""

_INPAINT_SIDE = 384
_OUTLINE_LUNG, _OUTLINE_BODY = np.float32(0.2), np.float32(0.7)


def grown(lungs: Region, dilation: float = DILATION) -> Region:
    """Lung mask grown by a share of the shorter side, bool (H, W)."""
    reach = max(1, round(dilation * min(lungs.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(lungs.astype(np.uint8), kernel) > 0, dtype=np.bool_)


def black_lungs(pixels: Pixels, lungs: Region) -> Pixels:
    """Blank the grown lungs and keep the rest (Maguolo and Nanni, 2021)."""
    return np.where(grown(lungs), np.float32(0), pixels)


def lungs_only(pixels: Pixels, lungs: Region) -> Pixels:
    """Keep the grown lungs and blank the rest."""
    return np.where(grown(lungs), pixels, np.float32(0))


def outline_only(pixels: Pixels, lungs: Region) -> Pixels:
    """Draw the lungs' outline alone: an even dark grey inside, an even bright grey outside, no grey value kept."""
    return np.where(lungs, _OUTLINE_LUNG, np.full_like(pixels, _OUTLINE_BODY))


def borders_only(pixels: Pixels, lungs: Region) -> Pixels:
    """Keep a border of `BORDER` and blank the middle, and the grown lungs where they reach into the border."""
    width = max(1, round(BORDER * min(pixels.shape)))
    kept = np.ones(pixels.shape, dtype=np.bool_)
    kept[width:-width, width:-width] = False
    return np.where(kept & ~grown(lungs), pixels, np.float32(0))


def corners_only(pixels: Pixels, lungs: Region) -> Pixels:
    """Keep four squares of `CORNER` and blank the rest, and the grown lungs where they reach into them."""
    return np.where(corners(pixels.shape) & ~grown(lungs), pixels, np.float32(0))


def erase_corners(pixels: Pixels, lungs: Region) -> Pixels:
    """Paint over the four corners, except the grown lungs, from what surrounds them."""
    return inpainted(pixels, corners(pixels.shape) & ~grown(lungs))


def erase_marks(pixels: Pixels, lungs: Region) -> Pixels:
    """Paint over what looks like a letter or a marker outside the lungs; see `marks`."""
    return inpainted(pixels, marks(pixels, lungs))


def corners(shape: tuple[int, ...]) -> Region:
    """The four corner squares, bool (H, W)."""
    side = max(1, round(CORNER * min(shape)))
    region = np.zeros(shape, dtype=np.bool_)
    for rows in (slice(None, side), slice(-side, None)):
        for columns in (slice(None, side), slice(-side, None)):
            region[rows, columns] = True
    return region


def marks(pixels: Pixels, lungs: Region) -> Region:
    """Find what may be a burned-in letter or a lead marker: small, very bright, near the border, outside the lungs.

    Parameters
    ----------
    pixels, lungs
        As for all of this file.

    Returns
    -------
    ndarray
        bool (H, W), the structures grown by 1 % of the shorter side; may be empty, and may hold bone.
    """
    low, high = np.percentile(pixels, (1.0, 99.8))
    bright = pixels >= low + MARK_BRIGHTNESS * (high - low)
    rows, columns = round(MARK_BORDER * pixels.shape[0]), round(MARK_BORDER * pixels.shape[1])
    bright[rows:-rows, columns:-columns] = False
    count, labelled, stats, _ = cv2.connectedComponentsWithStats((bright & ~grown(lungs)).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    small = (areas >= 4) & (areas <= LARGEST_MARK * pixels.size)
    small[0] = False
    if count < 2:
        return np.zeros(pixels.shape, dtype=np.bool_)
    return grown(small[labelled], 0.01)


def inpainted(pixels: Pixels, region: Region) -> Pixels:
    """Fill a region from its surroundings (Telea, 2004); done at 384 pixels, since marks leave no fine texture."""
    if not region.any():
        return pixels
    scale = min(1.0, _INPAINT_SIDE / max(pixels.shape))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize((pixels * 255).round().astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    # Any covered pixel counts, so that no rim of the mark is left to paint from.
    hole = cv2.resize(region.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    filled = cv2.inpaint(small, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    enlarged = cv2.resize(filled, (pixels.shape[1], pixels.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.where(region, enlarged.astype(np.float32) / np.float32(255), pixels)
