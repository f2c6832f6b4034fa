"""Patches of a radiograph: where they lie, drawn once for training, screening and saliency, and how they are cut."""

import hashlib
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

P = TypeVar("P", np.float32, np.uint8, np.bool_)


def draw_centres(mask: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.int64]:
    """Draw the centres of patches within the lungs (patch-voting paper, section II-B).

    Row and column of a centre belong to one lung pixel; pixels are drawn evenly and may repeat.

    Parameters
    ----------
    mask
        bool (H, W), True inside the lungs.
    count
        Number of patches K.
    seed
        Same seed and mask, same centres; the first centres do not depend on ``count``.

    Returns
    -------
    ndarray
        int64 (K, 2): row and column.

    Raises
    ------
    ValueError
        If no pixel is True.
    """
    lung = np.flatnonzero(mask)
    if lung.size == 0:
        raise ValueError("centres can only be drawn in a mask that is not empty")
    # Places along the lung's pixels rather than pixel numbers: a mask that differs a little moves centres a little.
    places = np.random.default_rng(seed).random(count)
    chosen = lung[(places * lung.size).astype(np.int64)]
    return np.column_stack(np.unravel_index(chosen, mask.shape)).astype(np.int64)


def image_seed(image: NDArray[np.uint8], seed: int) -> int:
    """Derive an image's own seed from what is in it.

    So its patches are the same alone or among others, in any order and any batch.

    Parameters
    ----------
    image
        uint8 (H, W).
    seed
        The recipe's seed.

    Returns
    -------
    int
        In [0, 2**63).
    """
    content = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8)
    content.update(f"{image.shape}/{seed}".encode())
    return int.from_bytes(content.digest(), "big") >> 1


def corners_of(centres: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Row and column of the upper left pixels of patches, int64 (K, 2), from their centres; may be negative."""
    return np.asarray(centres - side // 2, dtype=np.int64)


def cut_patches(image: NDArray[P], corners: NDArray[np.int64], side: int, fill: float) -> NDArray[P]:
    """Cut patches out; where they reach over the border they are filled, never stretched.

    Parameters
    ----------
    image
        (H, W), of any type.
    corners
        int64 (K, 2), from :func:`corners_of`; a patch may lie outside the image in part.
    side
        Rows and columns of a patch.
    fill
        Value outside the image.

    Returns
    -------
    ndarray
        (K, side, side), of the image's type.
    """
    patches = np.full((len(corners), side, side), fill, image.dtype)
    for patch, (top, left) in zip(patches, corners.tolist(), strict=True):
        first, start = max(-top, 0), max(-left, 0)
        inside = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
        patch[first : first + inside.shape[0], start : start + inside.shape[1]] = inside
    return patches


def in_batches(patches: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    """Give patches (K, ...) in batches of at most ``size``, in order."""
    return (patches[start : start + size] for start in range(0, len(patches), size))
