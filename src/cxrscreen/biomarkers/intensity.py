"""Grey values of the lungs: over the whole lung, and in patches of it."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.masks import LEFT_LUNG, RIGHT_LUNG

Mask = NDArray[np.uint8]
Pixels = NDArray[np.float32]

PATCH_SHARE: Final = 224 / 1024
"""Side of a patch as a share of the image's side (Oh et al. 2020, section II-B)."""
PATCHES: Final = 100
"""Patches an image, K of the paper."""


@dataclass(frozen=True)
class Intensity:
    """Mean and standard deviation of grey values, both in the unit of the pixels."""

    mean: float
    std: float


def region_intensity(pixels: Pixels, region: NDArray[np.bool_]) -> Intensity | None:
    """Mean and standard deviation of the grey values in a region.

    Parameters
    ----------
    pixels
        float32 (H, W), any range.
    region
        bool (H, W).

    Returns
    -------
    Intensity or None
        None for an empty region.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Oh et al. 2020, section III-B: mean and standard deviation of lung intensity (Tables VI to VIII).
    """
    if pixels.shape != region.shape:
        raise ValueError(f"pixels and region must have one shape, got {pixels.shape} and {region.shape}")
    values = pixels[region].astype(np.float64)
    return Intensity(float(values.mean()), float(values.std())) if values.size else None


def lungs_of(mask: Mask) -> NDArray[np.bool_]:
    """Both lungs of a mask (H, W) with 1 right lung, 2 left lung."""
    return np.isin(mask, (RIGHT_LUNG, LEFT_LUNG))


@dataclass(frozen=True, eq=False)
class PatchIntensity:
    """Grey values in patches of one image.

    Parameters
    ----------
    means, stds
        float64 (K,): mean and standard deviation of the lung pixels in each patch.
    """

    means: NDArray[np.float64]
    stds: NDArray[np.float64]

    @property
    def inter_mean(self) -> float:
        """Mean of the patches' means."""
        return float(self.means.mean())

    @property
    def inter_std(self) -> float:
        """Spread between patches: standard deviation of their means."""
        return float(self.means.std())

    @property
    def intra_std(self) -> float:
        """Spread within patches: mean of their standard deviations."""
        return float(self.stds.mean())


def patch_intensity(
    pixels: Pixels, mask: Mask, rng: np.random.Generator, *, count: int = PATCHES, side: int | None = None
) -> PatchIntensity | None:
    """Measure patches whose centres are drawn within the lungs.

    Only lung pixels of a patch count, so that a patch at the edge of the lung does not measure how much of it lies
    outside. A patch may reach beyond the image.

    Parameters
    ----------
    pixels
        float32 (H, W).
    mask
        uint8 (H, W): 1 right lung, 2 left lung.
    rng
        Draws the centres, with replacement.
    count
        Patches, at least 1.
    side
        Side of a patch in pixels; by default the paper's share of the image's longer side.

    Returns
    -------
    PatchIntensity or None
        None without lungs.

    References
    ----------
    Oh et al. 2020, section IV-C and Fig. 5. The paper takes the patches that its network classified correctly; these
    are all.
    """
    lungs = lungs_of(mask)
    centres = np.flatnonzero(lungs)
    if centres.size == 0:
        return None
    extent = side or max(1, round(PATCH_SHARE * max(pixels.shape)))
    inside = lungs.astype(np.float64)
    # Shifted, so that the difference of two large squares loses no digits.
    shift = float(pixels[lungs].mean(dtype=np.float64))
    values = np.where(lungs, pixels - shift, 0.0).astype(np.float64)
    drawn = rng.choice(centres, size=count)
    counts, sums, squares = (_box_sum(plane, extent).ravel()[drawn] for plane in (inside, values, values**2))
    means = sums / counts
    return PatchIntensity(means + shift, np.sqrt(np.maximum(squares / counts - means**2, 0.0)))


def _box_sum(plane: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    summed = cv2.boxFilter(plane, cv2.CV_64F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(summed, dtype=np.float64)
