"""Lung masks as training targets."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cxrscreen.errors import ManifestError
from cxrscreen.imaging.enhancement import resize_to_square

RIGHT_LUNG, LEFT_LUNG, HEART = 1, 2, 3

_PALETTE = [0, 0, 0, 230, 80, 80, 80, 140, 240, 250, 220, 90]

HEART_INCLUDED_SOURCES = ("cohen", "kermany")
"""Sources whose human polygons run straight through the heart and the diaphragm's dome (V7 convention)."""

AMBIGUOUS_ROWS = 0.35
"""Above this share of a lung's height (counted from the apex) both conventions agree up to the mediastinal edge."""
AMBIGUOUS_WIDTH = {RIGHT_LUNG: 0.35, LEFT_LUNG: 0.70}
"""Medial share of a row that may be heart or mediastinum, by lung."""
AMBIGUOUS_BASE = 0.12
"""Lowest share of a lung's height that may lie behind the diaphragm."""

IGNORE = 255


def read_lung_mask(path: Path) -> NDArray[np.uint8]:
    """Index values of a palette or grey PNG mask, uint8 (H, W); 0 background, 1 right lung, 2 left lung, 3 heart.

    Raises
    ------
    ManifestError
        If the file is missing, no readable image, or holds other values.
    """
    try:
        with Image.open(path) as image:
            plain = image if image.mode in {"P", "L"} else image.convert("L")
            indices = np.frombuffer(plain.tobytes(), np.uint8).reshape(plain.height, plain.width)
    except (OSError, UnidentifiedImageError) as error:
        raise ManifestError(
            f"The lung mask {path.name} cannot be read: check the manifest's lung_mask column."
        ) from error
    if indices.max(initial=0) > HEART:
        raise ManifestError(
            f"The lung mask {path.name} holds the value {int(indices.max())}: use 0 background, 1 right lung, 2 left "
            "lung, 3 heart."
        )
    return indices


def palette_image(index: NDArray[np.uint8]) -> Image.Image:
    """Palette picture of an indexed mask, uint8 (H, W) of 0 to 3, as :func:`read_lung_mask` reads it."""
    image = Image.frombytes("P", index.shape[::-1], np.ascontiguousarray(index).tobytes())
    image.putpalette(_PALETTE)
    return image


def lung_target(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Binary target of an indexed mask, uint8 (H, W): 1 lung, 0 all else (the heart is not lung)."""
    return np.isin(mask, (RIGHT_LUNG, LEFT_LUNG)).astype(np.uint8)


def target_at(target: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Bring a target to a network's side: each pixel takes the value that covers most of it.

    The nearest pixel would do if it did not move outlines by up to half a pixel, which costs about 0.02 of the Jaccard
    index where 224 pixels become 256.

    Parameters
    ----------
    target
        uint8 (H, W); any values.
    side
        Rows and columns of the result.

    Returns
    -------
    ndarray
        uint8 (side, side).
    """
    values = np.unique(target)
    shares = [resize_to_square((target == value).astype(np.float32), side) for value in values]
    return np.asarray(values[np.argmax(shares, axis=0)], dtype=np.uint8)


def partial_lung_target(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Target of a mask that includes the lung behind heart and diaphragm: what is certain, and 255 for the rest.

    Outside the mask is background and its lateral part is lung under either convention; the medial part of the lower
    rows and the base are ignored, so that masks which leave the heart out decide there.

    Parameters
    ----------
    mask
        uint8 (H, W), 1 right lung (viewer's left), 2 left lung.

    Returns
    -------
    ndarray
        uint8 (H, W): 0 background, 1 lung, 255 ignored.
    """
    target = lung_target(mask)
    for lung, medial_share in AMBIGUOUS_WIDTH.items():
        inside = mask == lung
        rows = np.flatnonzero(inside.any(axis=1))
        if rows.size == 0:
            continue
        top, bottom = int(rows[0]), int(rows[-1])
        for row in rows:
            columns = np.flatnonzero(inside[row])
            first, last = int(columns[0]), int(columns[-1])
            depth = (row - top) / max(bottom - top, 1)
            if depth >= 1.0 - AMBIGUOUS_BASE:
                target[row, columns] = IGNORE
            elif depth >= AMBIGUOUS_ROWS:
                width = round(medial_share * (last - first + 1))
                # The right lung's medial side is the larger column, the left lung's the smaller.
                medial = columns > last - width if lung == RIGHT_LUNG else columns < first + width
                target[row, columns[medial]] = IGNORE
    return target
