"""Pictures of a screening: the radiograph, the lungs on it, a saliency map on it. Arrays in, arrays out."""

from collections.abc import Mapping
from functools import cache
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.systems.contract import MapKind, SaliencyMap

RIGHT_LUNG: Final = (86, 180, 233)
LEFT_LUNG: Final = (240, 176, 64)
"""Colours (R, G, B) of the lungs: blue and orange stay apart for colour-blind readers."""

COLOUR_MAPS: Final[Mapping[MapKind, int]] = {"saliency": cv2.COLORMAP_INFERNO, "coverage": cv2.COLORMAP_VIRIDIS}
"""OpenCV's colours of each kind of map: nobody takes where a system looked for what spoke for its answer."""

LARGEST_SIDE: Final = 1024
SMALLEST_SIDE: Final = 512
_OUTLINE: Final = (226, 232, 240)
_LUNG_TINT: Final = 0.22
_STRONGEST_TINT: Final = 0.72
_HATCH_PERIOD: Final = 8
_HATCH_WIDTH: Final = 2
_HATCH_CONTRAST: Final = 44

_Pixel = TypeVar("_Pixel", np.uint8, np.float32)


def grey_picture(
    pixels: NDArray[np.float32], *, largest: int = LARGEST_SIDE, smallest: int = SMALLEST_SIDE
) -> NDArray[np.uint8]:
    """Return the radiograph for the screen, aspect ratio kept.

    Parameters
    ----------
    pixels
        float32 (H, W), range [0, 1].
    largest, smallest
        The longest side of the picture is brought into this range, in pixels.

    Returns
    -------
    numpy.ndarray
        uint8 (h, w).
    """
    height, width = picture_size(pixels.shape, largest=largest, smallest=smallest)
    return _to_byte(_resized(pixels, height, width))


def picture_size(shape: tuple[int, ...], *, largest: int, smallest: int = 1) -> tuple[int, int]:
    """Return the rows and columns of a picture whose longest side lies in [smallest, largest] pixels."""
    side = max(shape[0], shape[1])
    scale = min(max(side, smallest), largest) / side
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def mask_picture(mask: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the lung mask at the size of a picture, so that large masks are resized once and not for each picture.

    Parameters
    ----------
    mask
        uint8 (H, W): 0 background, 1 right lung, 2 left lung.
    shape
        Rows and columns wanted.

    Returns
    -------
    numpy.ndarray
        uint8 (h, w), values as in the mask.
    """
    small = np.zeros(shape[:2], np.uint8)
    for label in (1, 2):
        small[_fitted_region(mask == label, shape)] = label
    return small


def lung_picture(grey: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tint and outline the two lungs on the radiograph.

    Parameters
    ----------
    grey
        uint8 (h, w).
    mask
        uint8 (H, W) of any size: 0 background, 1 right lung, 2 left lung.

    Returns
    -------
    numpy.ndarray
        uint8 (h, w, 3), R, G, B.
    """
    fitted = mask_picture(mask, grey.shape)
    picture = _looked_up(_lung_tints(), fitted, grey)
    for label, colour in ((1, RIGHT_LUNG), (2, LEFT_LUNG)):
        _outline(picture, fitted == label, colour, 2 if max(grey.shape) >= SMALLEST_SIDE else 1)
    return picture


def saliency_picture(
    grey: NDArray[np.uint8],
    values: NDArray[np.float32],
    mask: NDArray[np.uint8],
    *,
    kind: MapKind = "saliency",
    looked_at: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Lay a map over the radiograph: the larger the value, the less of the radiograph shines through.

    Parameters
    ----------
    grey
        uint8 (h, w).
    values
        float32 (H, W) of any size, range [0, 1].
    mask
        uint8 (H, W) lung mask of any size; the outline of the lungs is drawn.
    kind
        Chooses the colours.
    looked_at
        bool (H, W), where the map knows anything: elsewhere the radiograph is hatched. None: everywhere.

    Returns
    -------
    numpy.ndarray
        uint8 (h, w, 3), R, G, B.
    """
    fitted, known = fitted_map(values, looked_at, grey.shape)
    picture = _tinted(grey, _to_byte(fitted), kind)
    if known is not None:
        picture[~known] = hatched(grey)[~known, None]
    _outline(picture, _fitted_region(mask > 0, grey.shape), _OUTLINE, 1)
    return picture


def fitted_map(
    values: NDArray[np.float32], looked_at: NDArray[np.bool_] | None, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Bring a map to another size; what means nothing is not mixed into what does.

    Parameters
    ----------
    values
        float32 (H, W), range [0, 1].
    looked_at
        bool (H, W), where they mean anything; None: everywhere.
    shape
        Rows and columns wanted.

    Returns
    -------
    tuple
        float32 (h, w), 0 where it means nothing, and bool (h, w): where at least half of what a pixel covers was
        looked at. None for None.
    """
    height, width = shape[:2]
    if looked_at is None:
        return _resized(values, height, width), None
    share = _resized(looked_at.astype(np.float32), height, width)
    known = share >= 0.5
    weighted = _resized(np.where(looked_at, values, np.float32(0)), height, width)
    fitted = np.where(known, weighted / np.where(known, share, np.float32(1)), np.float32(0))
    return np.minimum(fitted, np.float32(1)), known


def hatched(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hatch a grey picture, so that it reads as "not looked at" and still shows what is there.

    Parameters
    ----------
    grey
        uint8 (h, w).

    Returns
    -------
    numpy.ndarray
        uint8 (h, w): lines at 45 degrees, brighter on dark and darker on bright ground.
    """
    rows, columns = np.arange(grey.shape[0])[:, None], np.arange(grey.shape[1])[None]
    lines = grey + np.where(grey < 128, _HATCH_CONTRAST, -_HATCH_CONTRAST)
    return _bytes(np.where((rows + columns) % _HATCH_PERIOD < _HATCH_WIDTH, lines, grey).astype(np.uint8))


def partly_looked_at(saliency: SaliencyMap) -> bool:
    """Tell whether there are places of which a map knows nothing, so that its picture is hatched there."""
    return saliency.looked_at is not None and not bool(saliency.looked_at.all())


def colour_scale(steps: int, kind: MapKind = "saliency", *, grey: int = 96) -> NDArray[np.uint8]:
    """Return the colours of a map's picture from value 0 to 1 as they look on a radiograph of one grey value.

    Returns
    -------
    numpy.ndarray
        uint8 (steps, 3), R, G, B.
    """
    level = np.linspace(0, 255, steps).round().astype(np.uint8)[None]
    return _bytes(_tinted(np.full_like(level, grey), level, kind)[0])


def _tinted(grey: NDArray[np.uint8], level: NDArray[np.uint8], kind: MapKind) -> NDArray[np.uint8]:
    """Blend by the map's own value; both scales are perceptually uniform, so equal steps look equal."""
    return _looked_up(_tints(kind), level, grey)


def _looked_up(colours: NDArray[np.uint32], rows: NDArray[np.uint8], columns: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take each pixel's colour from a table of all pairs: a fifth of the time of blending the pixels."""
    found = np.take(colours, (rows.astype(np.uint16) << 8) | columns)
    return _bytes(cv2.cvtColor(found.view(np.uint8).reshape(*found.shape, 4), cv2.COLOR_RGBA2RGB))


def _table(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Put (rows, 256, 3) colours into words, one after the other."""
    filled = np.concatenate([colours, np.zeros((*colours.shape[:2], 1), np.uint8)], axis=2)
    return np.ascontiguousarray(filled).view(np.uint32).ravel()


@cache
def _tints(kind: MapKind) -> NDArray[np.uint32]:
    """The colour of each value of a map on each grey value."""
    level, grey = (_bytes(each) for each in np.indices((256, 256)))
    colour = cv2.cvtColor(cv2.applyColorMap(level, COLOUR_MAPS[kind]), cv2.COLOR_BGR2RGB)
    opacity = cv2.cvtColor(level, cv2.COLOR_GRAY2RGB).astype(np.float32) * np.float32(_STRONGEST_TINT / 255)
    base = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB).astype(np.float32)
    return _table(_bytes((base + (colour.astype(np.float32) - base) * opacity + 0.5).astype(np.uint8)))


@cache
def _lung_tints() -> NDArray[np.uint32]:
    """The colour of the background and of each lung on each grey value."""
    grey = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    lungs = (grey * (1 - _LUNG_TINT) + np.array(colour, np.float32) * _LUNG_TINT for colour in (RIGHT_LUNG, LEFT_LUNG))
    return _table(_bytes(np.stack([grey, *lungs]).astype(np.uint8)))


def _outline(picture: NDArray[np.uint8], inside: NDArray[np.bool_], colour: tuple[int, int, int], width: int) -> None:
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(picture, contours, -1, colour, width, cv2.LINE_AA)


def _fitted_region(region: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    # resizing the share of covered pixels and cutting at one half keeps a smooth edge, where nearest would step
    covered = _resized(region.astype(np.uint8) * np.uint8(255), shape[0], shape[1])
    return np.asarray(covered >= 128, np.bool_)


def _resized(array: NDArray[_Pixel], height: int, width: int) -> NDArray[_Pixel]:
    if array.shape == (height, width):
        return array
    smaller = height * width < array.shape[0] * array.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, (width, height), interpolation=how), array.dtype)


def _to_byte(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return _bytes((np.clip(values, 0.0, 1.0) * 255 + 0.5).astype(np.uint8))


def _bytes(array: object) -> NDArray[np.uint8]:
    return np.asarray(array, np.uint8)
