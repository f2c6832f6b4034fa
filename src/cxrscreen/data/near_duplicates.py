"""Copies of one radiograph: equal files, equal perceptual hashes, thumbnails that correlate."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from cxrscreen.errors import CxrscreenError
from cxrscreen.imaging.radiograph import Radiograph

THUMBNAIL_SIDE = 32
"""Side of the thumbnails, pixels; the aspect ratio is given up, as squashed copies have given it up."""
PICTURE_SIDE = 64
"""Side of the small pictures kept for the search for cropped copies, pixels."""
HASH_SIDE = 8
"""Frequencies of the hash in each direction, the mean left out: 64 bits."""
HIGH_PASS = 2.0
"""Standard deviation, thumbnail pixels, of the blur taken away: what all chests share lies below it."""

SAME_CORRELATION = 0.93
"""Correlation of two thumbnails from which on they are one radiograph, whatever the hash says."""
CLOSE_HASH = 6
"""Differing bits of 64 up to which a lower correlation is enough."""
CLOSE_CORRELATION = 0.85
"""That lower correlation."""

PAIR_COLUMNS = ("first", "second", "same_file", "hash_distance", "correlation", "mirrored", "cropped")
"""Columns of a table of pairs: two image ids and what makes them alike."""

_BLOCK = 512

_Grey = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """What is compared of n images.

    Parameters
    ----------
    image_ids
        (n,), in the order of all else.
    digests
        (n,) SHA-256 of the files' bytes, hexadecimal.
    hashes
        uint64 (n,) of :func:`dct_hash`.
    thumbnails
        float32 (n, 1024), rows of :func:`thumbnail`.
    pictures
        uint8 (n, 64, 64), what :mod:`~cxrscreen.data.cropped_copies` compares.
    unread
        Ids of images that could not be read; they are in none of the above.
    """

    image_ids: tuple[str, ...]
    digests: tuple[str, ...]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.float32]
    pictures: NDArray[np.uint8]
    unread: tuple[str, ...] = ()


def fingerprint_images(
    files: Sequence[tuple[str, Path]],
    read: Callable[[Path], Radiograph],
    advance: Callable[[], None] = lambda: None,
) -> Fingerprints:
    """Fingerprint images one by one; a few kilobytes of each are kept.

    Parameters
    ----------
    files
        Image id and file of each.
    read
        From a file to a radiograph.
    advance
        Called after each image.
    """
    ids, digests, hashes, thumbnails, pictures, unread = [], [], [], [], [], []
    for image_id, file in files:
        try:
            pixels = read(file).pixels
        except CxrscreenError:
            unread.append(image_id)
        else:
            ids.append(image_id)
            digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
            hashes.append(dct_hash(pixels))
            thumbnails.append(thumbnail(pixels))
            pictures.append(np.round(255 * _small(pixels, PICTURE_SIDE)).astype(np.uint8))
        advance()
    return Fingerprints(
        tuple(ids),
        tuple(digests),
        np.array(hashes, dtype=np.uint64),
        np.array(thumbnails, dtype=np.float32).reshape(len(ids), THUMBNAIL_SIDE**2),
        np.array(pictures, dtype=np.uint8).reshape(len(ids), PICTURE_SIDE, PICTURE_SIDE),
        tuple(unread),
    )


def dct_hash(pixels: _Grey) -> int:
    """Perceptual hash: which low frequencies of the cosine transform lie above their median.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].

    Returns
    -------
    int
        64 bits; the same for a linear change of the grey values, few bits apart for a resized or compressed copy.

    References
    ----------
    C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010 (the DCT hash).
    """
    low = dctn(_small(pixels).astype(np.float64), norm="ortho")[1 : HASH_SIDE + 1, 1 : HASH_SIDE + 1]
    bits = np.packbits(low.ravel() > np.median(low))
    return int.from_bytes(bits.tobytes(), "big")


def thumbnail(pixels: _Grey) -> _Grey:
    """High-passed thumbnail with mean 0 and length 1, so that the product of two is their correlation.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].

    Returns
    -------
    ndarray
        float32 (1024,); zeros for an image without structure, which resembles nothing.
    """
    small = _small(pixels).astype(np.float64)
    detail = small - gaussian_filter(small, HIGH_PASS)
    detail -= detail.mean()
    length = float(np.linalg.norm(detail))
    # Below this the structure is rounding.
    return np.asarray(detail.ravel() / length if length > 1e-4 else np.zeros(detail.size), dtype=np.float32)


def find_pairs(fingerprints: Fingerprints) -> pd.DataFrame:
    """Find all pairs of images that are copies of one radiograph, also mirrored ones.

    A pair is reported for equal bytes, for a correlation of at least :data:`SAME_CORRELATION`, or for one of at least
    :data:`CLOSE_CORRELATION` with at most :data:`CLOSE_HASH` differing bits. Hash and correlation are computed for all
    n (n - 1) / 2 pairs, in blocks.

    Returns
    -------
    DataFrame
        The columns of :data:`PAIR_COLUMNS`, the most alike first; ``hash_distance`` in bits of the upright images.
    """
    hashes, thumbnails = fingerprints.hashes, fingerprints.thumbnails
    upright = _alike(hashes, thumbnails, thumbnails, use_hash=True)
    flipped = thumbnails.reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)[:, :, ::-1].reshape(thumbnails.shape)
    mirrored = _alike(hashes, thumbnails, np.ascontiguousarray(flipped), use_hash=False)
    found: dict[tuple[int, int], tuple[float, bool]] = {}
    for pairs, is_mirrored in ((upright, False), (mirrored, True)):
        for i, j, correlation in pairs:
            if correlation > found.get((i, j), (-1.0, False))[0]:
                found[i, j] = (correlation, is_mirrored)
    for i, j in _equal_files(fingerprints.digests):
        found.setdefault((i, j), (float(thumbnails[i] @ thumbnails[j]), False))
    rows = [
        {
            "first": fingerprints.image_ids[i],
            "second": fingerprints.image_ids[j],
            "same_file": fingerprints.digests[i] == fingerprints.digests[j],
            "hash_distance": int(hashes[i] ^ hashes[j]).bit_count(),
            "correlation": round(correlation, 4),
            "mirrored": is_mirrored,
            "cropped": False,
        }
        for (i, j), (correlation, is_mirrored) in found.items()
    ]
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    return table.sort_values(
        ["same_file", "correlation", "first", "second"], ascending=[False, False, True, True], ignore_index=True
    )


def _alike(hashes: NDArray[np.uint64], left: _Grey, right: _Grey, *, use_hash: bool) -> list[tuple[int, int, float]]:
    """Pairs (i < j) whose thumbnails correlate enough, with their correlation."""
    pairs: list[tuple[int, int, float]] = []
    for start in range(0, len(left), _BLOCK):
        rows = slice(start, start + _BLOCK)
        correlation = left[rows] @ right[start:].T
        alike = correlation >= SAME_CORRELATION
        if use_hash:
            distance = np.bitwise_count(hashes[rows, None] ^ hashes[None, start:])
            alike |= (distance <= CLOSE_HASH) & (correlation >= CLOSE_CORRELATION)
        i, j = np.nonzero(np.triu(alike, k=1))
        pairs += zip((i + start).tolist(), (j + start).tolist(), correlation[i, j].tolist(), strict=True)
    return pairs


def _equal_files(digests: Sequence[str]) -> list[tuple[int, int]]:
    same: dict[str, list[int]] = {}
    for index, digest in enumerate(digests):
        same.setdefault(digest, []).append(index)
    return [(i, j) for members in same.values() for a, i in enumerate(members) for j in members[a + 1 :]]


def _small(pixels: _Grey, side: int = THUMBNAIL_SIDE) -> _Grey:
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)
