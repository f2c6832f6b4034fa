"""Publishers' lung masks -> one mask that tells right from left."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cxrscreen.data.masks import LEFT_LUNG, RIGHT_LUNG

SMALLEST_SHARE = 0.2
"""A region this small, beside the largest one, is no second lung."""

Mask = NDArray[np.bool_]


def read_binary(file: Path) -> Mask | None:
    """A mask picture (GIF, PNG), bool (H, W), true where it is above half; None where it cannot be read."""
    try:
        with Image.open(file) as image:
            grey = image.convert("L")
            values = np.frombuffer(grey.tobytes(), np.uint8).reshape(grey.height, grey.width)
    except (OSError, UnidentifiedImageError, ValueError):
        return None
    return np.asarray(values > 127)


def image_size(file: Path) -> tuple[int, int] | None:
    """Rows and columns of a picture (not DICOM) from its header; None where it has none that can be read."""
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except (OSError, UnidentifiedImageError, ValueError):
        return None


def at_size(mask: Mask, shape: tuple[int, int]) -> Mask:
    """Bring a mask to the size of its image (H, W); each pixel takes the value that covers most of it."""
    if mask.shape == shape:
        return mask
    return np.asarray(cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA) > 0.5)


def joined(one: Mask, other: Mask) -> NDArray[np.uint8]:
    """Join the masks of two lungs, bool (H, W): 1 the one nearer to the viewer's left (the right lung), 2 the other.

    Position decides, since ``left`` means the patient's in one data set and the viewer's in another.
    """
    left, right = sorted((one, other), key=_column)
    return np.where(left, RIGHT_LUNG, np.where(right, LEFT_LUNG, 0)).astype(np.uint8)


def split(lungs: Mask) -> tuple[NDArray[np.uint8], bool]:
    """Tell the two lungs of one mask apart.

    Parameters
    ----------
    lungs
        bool (H, W).

    Returns
    -------
    ndarray
        uint8 (H, W): 1 the right lung (at the viewer's left), 2 the left one; every pixel is 1 where they touch, or
        only one is there.
    bool
        Whether the lungs could be told apart.
    """
    count, regions, stats, centres = cv2.connectedComponentsWithStats(lungs.astype(np.uint8), connectivity=8)
    if count < 3:
        return lungs.astype(np.uint8), False
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + np.argsort(areas)[::-1][:2]
    if stats[largest[1], cv2.CC_STAT_AREA] < SMALLEST_SHARE * stats[largest[0], cv2.CC_STAT_AREA]:
        return lungs.astype(np.uint8), False
    first, second = sorted(largest, key=lambda region: float(centres[region][0]))
    middle = (centres[first][0] + centres[second][0]) / 2
    # Crumbs beside the two lungs go with the lung on whose side they lie.
    side = np.where(centres[:, 0] < middle, RIGHT_LUNG, LEFT_LUNG)
    side[0], side[first], side[second] = 0, RIGHT_LUNG, LEFT_LUNG
    return side[regions].astype(np.uint8), True


def split_file(file: Path, image: Path) -> tuple[NDArray[np.uint8], bool] | None:
    """Both lungs of one mask picture, in the size of its image, told apart as by :func:`split`.

    Returns
    -------
    tuple or None
        Mask and whether the lungs could be told apart; None where mask or image is not there or cannot be read.
    """
    lungs = read_binary(file)
    shape = None if lungs is None else image_size(image)
    return None if lungs is None or shape is None else split(at_size(lungs, shape))


def _column(mask: Mask) -> float:
    columns = np.flatnonzero(mask.any(axis=0))
    return float(np.average(columns, weights=mask.sum(axis=0)[columns])) if columns.size else np.inf
