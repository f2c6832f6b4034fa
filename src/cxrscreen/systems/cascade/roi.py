"""Between stage 1 and stage 2: the lungs cut out of the radiograph, in one geometry and one grey scale."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SMALLEST_LUNGS = 0.04
"""Share of the image that both lungs must cover for the crop to be trusted; below, the whole image is used."""


@dataclass(frozen=True)
class RoiSettings:
    """How the lungs are cut out.

    Parameters
    ----------
    side
        Side of the classifiers' input, pixels.
    working_side
        Longest side to which every radiograph is reduced first, pixels: one resolution for all sources, so that
        sharpness does not tell them apart. None: the box is averaged down to ``side`` from the radiograph as it is.
    margin
        Margin around the lungs' bounding box, as a share of its sides.
    dilation
        Growth of the lung mask before it filters, as a share of ``side``, so that pleura and edges stay.
    """

    side: int
    working_side: int | None
    margin: float
    dilation: float


@dataclass(frozen=True, eq=False)
class Roi:
    """The lungs of one radiograph, ready for the classifiers.

    Parameters
    ----------
    pixels
        float32 (side, side) in [0, 1], not filtered: 1st to 99th percentile of the box.
    mask
        float32 (side, side), 1 inside the dilated lungs, else 0.
    box
        Top, left, bottom, right of the box in the radiograph, as shares of its height and width.
    trusted
        False where no lungs were found and the whole image stands in.
    """

    pixels: NDArray[np.float32]
    mask: NDArray[np.float32]
    box: tuple[float, float, float, float]
    trusted: bool

    @property
    def masked(self) -> NDArray[np.float32]:
        """Pixels filtered by the lung mask, the input of stage 2; float32 (side, side) in [0, 1]."""
        return self.pixels * self.mask


def cut_lungs(pixels: NDArray[np.float32], mask: NDArray[np.uint8], settings: RoiSettings) -> Roi:
    """Cut the lungs out of a radiograph (cascade paper, section 2: the mask filters out what could distract).

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    mask
        uint8 (h, w), any size: above 0 is lung.
    settings
        Sizes and margins.

    Returns
    -------
    Roi
        With the whole image and a full mask where the lungs cover less than :data:`SMALLEST_LUNGS`.
    """
    lungs = (mask > 0).astype(np.uint8)
    trusted = float(lungs.mean()) >= SMALLEST_LUNGS
    top, left, bottom, right = _box(lungs, settings.margin) if trusted else (0.0, 0.0, 1.0, 1.0)
    reduced = _reduce(pixels, settings.working_side)
    crop = _crop(reduced, (top, left, bottom, right))
    low, high = np.percentile(crop, (1.0, 99.0))
    stretched = np.clip((crop - low) / max(float(high - low), 1e-6), 0.0, 1.0).astype(np.float32)
    size = (settings.side, settings.side)
    filtered = np.ones(size, np.float32)
    if trusted:
        small = cv2.resize(_crop(lungs.astype(np.float32), (top, left, bottom, right)), size)
        reach = 2 * max(1, round(settings.dilation * settings.side)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        filtered = np.asarray(cv2.dilate((small >= 0.5).astype(np.float32), kernel), dtype=np.float32)
    # Of a large radiograph a bilinear reduction would drop most pixels and keep the noise of the rest.
    averages = settings.working_side is None and min(stretched.shape) > settings.side
    how = cv2.INTER_AREA if averages else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(stretched, size, interpolation=how), dtype=np.float32)
    return Roi(np.clip(resized, 0.0, 1.0), filtered, (top, left, bottom, right), trusted)


def network_input(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey values of the masked box as the classifiers take them: [0, 1] to [-1, 3], background at -1."""
    return np.asarray(4.0 * image - 1.0, dtype=np.float32)


def place_in_radiograph(
    values: NDArray[np.float32], box: tuple[float, float, float, float], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Put a map of the box back where it belongs in the radiograph.

    Parameters
    ----------
    values
        float32 (s, s).
    box
        From :class:`Roi`.
    shape
        Rows and columns of the radiograph.

    Returns
    -------
    ndarray
        float32 of ``shape``, zero outside the box.
    """
    rows, columns = _pixels_of(box, shape)
    result = np.zeros(shape, np.float32)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    result[rows, columns] = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
    return result


def _reduce(pixels: NDArray[np.float32], working_side: int | None) -> NDArray[np.float32]:
    longest = max(pixels.shape)
    if working_side is None or longest <= working_side:
        return pixels
    scale = working_side / longest
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _box(lungs: NDArray[np.uint8], margin: float) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    top, bottom = rows[0] / lungs.shape[0], (rows[-1] + 1) / lungs.shape[0]
    left, right = columns[0] / lungs.shape[1], (columns[-1] + 1) / lungs.shape[1]
    tall, wide = margin * (bottom - top), margin * (right - left)
    return max(0.0, top - tall), max(0.0, left - wide), min(1.0, bottom + tall), min(1.0, right + wide)


def _pixels_of(box: tuple[float, float, float, float], shape: tuple[int, int]) -> tuple[slice, slice]:
    top, left = int(box[0] * shape[0]), int(box[1] * shape[1])
    bottom = max(top + 1, min(shape[0], round(box[2] * shape[0])))
    right = max(left + 1, min(shape[1], round(box[3] * shape[1])))
    return slice(top, bottom), slice(left, right)


def _crop(image: NDArray[np.float32], box: tuple[float, float, float, float]) -> NDArray[np.float32]:
    rows, columns = _pixels_of(box, (image.shape[0], image.shape[1]))
    return image[rows, columns]
