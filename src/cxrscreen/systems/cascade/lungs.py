"""Stage 1 around the U-Net: what goes in, and how its probabilities become two lungs."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cxrscreen.data.masks import LEFT_LUNG, RIGHT_LUNG

SMALLEST_COMPONENT = 0.008
"""Share of the image below which a component is no lung."""
MUCH_SMALLER = 0.15
"""A second component below this share of the largest is no lung where the largest can be parted into two."""
MERGED_WIDTH = 0.55
"""A lone component wider than this share of the image is taken as both lungs grown together."""


def segmenter_input(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The network's view of a radiograph: a square of grey values between the 1st and 99th percentile.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    side
        Side of the square, pixels. The aspect ratio is given up, as two of the training sources have given it up.

    Returns
    -------
    ndarray
        float32 (side, side), range [-1, 1].
    """
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(small, (1.0, 99.0))
    stretched = np.clip((small - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return np.asarray(2.0 * stretched - 1.0, dtype=np.float32)


def two_lungs(probability: NDArray[np.float32], threshold: float = 0.5) -> NDArray[np.uint8]:
    """The two lungs of a probability map: largest two components, holes filled, told apart by position.

    Parameters
    ----------
    probability
        float32 (H, W) in [0, 1].
    threshold
        A pixel at or above it is lung.

    Returns
    -------
    ndarray
        uint8 (H, W): 0 background, 1 right lung (viewer's left), 2 left lung. All zero where nothing is large enough.
    """
    labelled, count = ndimage.label(probability >= threshold)
    areas = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    smallest = SMALLEST_COMPONENT * probability.size
    kept = [int(i) + 1 for i in np.argsort(areas)[::-1][:2] if areas[i] >= smallest]
    parts: list[NDArray[np.bool_]] = [_filled(labelled == label) for label in kept]
    if len(parts) == 1 or (len(parts) == 2 and areas[kept[1] - 1] < MUCH_SMALLER * areas[kept[0] - 1]):
        merged = _split_merged(parts[0])
        parts = merged if len(merged) == 2 else parts
    return _by_side(parts, probability.shape)


def at_size(mask: NDArray[np.uint8], probability: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Carry a two-lung mask to another size, with the smooth outline of the enlarged probabilities.

    Parameters
    ----------
    mask
        uint8 (S, S), from :func:`two_lungs`.
    probability
        float32 (S, S), the map it was made from.
    shape
        Rows and columns of the result.

    Returns
    -------
    ndarray
        uint8 of ``shape``: 0, 1, 2.
    """
    size = (shape[1], shape[0])
    result = np.zeros(shape, np.uint8)
    filled = np.where(mask > 0, np.maximum(probability, 0.5), probability).astype(np.float32)
    for lung in (RIGHT_LUNG, LEFT_LUNG):
        own = mask == lung
        # Probabilities reach one pixel beyond the lung, never into the other one: the outline stays where 0.5 falls.
        reach = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ((mask == 0) | own)
        soft = np.where(reach, np.where(own, filled, np.minimum(filled, 0.49)), 0.0).astype(np.float32)
        result[cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR) >= 0.5] = lung
    return result


def _filled(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part with its holes, as ``ndimage.binary_fill_holes`` gives it, in a tenth of the time."""
    # The frame joins all background that reaches the edge, so that one flood finds it.
    framed = np.pad(part.astype(np.uint8), 1)
    cv2.floodFill(framed, None, (0, 0), 2)
    return np.asarray(framed[1:-1, 1:-1] != 2, np.bool_)


def _split_merged(part: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    columns = np.flatnonzero(part.any(axis=0))
    first, last = int(columns[0]), int(columns[-1])
    width = last - first + 1
    if width < MERGED_WIDTH * part.shape[1]:
        return [part]
    middle = slice(first + width // 3, last - width // 3 + 1)
    # The bridge between merged lungs is where the fewest lung pixels stand above each other.
    cut = middle.start + int(np.argmin(part[:, middle].sum(axis=0)))
    left_side, right_side = part.copy(), part.copy()
    left_side[:, cut:] = False
    right_side[:, :cut] = False
    return [left_side, right_side]


def _by_side(parts: Sequence[NDArray[np.bool_]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    result = np.zeros(shape, np.uint8)
    centres = [float(np.flatnonzero(part.any(axis=0)).mean()) for part in parts]
    if len(parts) == 1:
        result[parts[0]] = RIGHT_LUNG if centres[0] < shape[1] / 2 else LEFT_LUNG
    elif len(parts) == 2:
        order = np.argsort(centres)
        result[parts[int(order[0])]] = RIGHT_LUNG
        result[parts[int(order[1])]] = LEFT_LUNG
    return result
