"""Everything this room measures in one radiograph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cxrscreen.biomarkers.cardiothoracic import CardiothoracicRatio, cardiothoracic_ratio
from cxrscreen.biomarkers.intensity import (
    Intensity,
    PatchIntensity,
    lungs_of,
    patch_intensity,
    region_intensity,
)
from cxrscreen.biomarkers.morphology import lung_shape
from cxrscreen.biomarkers.references import OrganMask, resized
from cxrscreen.biomarkers.under_segmentation import SYMMETRY, Symmetry, missing_share
from cxrscreen.data.masks import LEFT_LUNG, RIGHT_LUNG
from cxrscreen.imaging.enhancement import (
    WHITE,
    correct_gamma,
    equalise_histogram,
    resize_to_square,
    universal_preprocessing,
)
from cxrscreen.imaging.radiograph import Radiograph

SIDE: Final = 256
"""Side of the square on which all but the cardiothoracic ratio is measured; that of the paper's masks. At the larger
side of its patches the finer texture of larger files would count as a difference between diseases."""

GAMMA: Final = 0.5
"""Exponent of the universal preprocessing."""

BINS: Final = 64
"""Bins of a grey-value histogram over [0, 1]."""

MARKERS: Final = {
    "lung_mean": "Mean grey value of the lungs",
    "lung_std": "Standard deviation of the grey values of the lungs",
    "inter_patch_mean": "Mean of the patches' mean grey values",
    "inter_patch_std": "Spread of the patches' mean grey values (inter-patch)",
    "intra_patch_std": "Mean spread within patches (intra-patch)",
    "lung_area": "Lung area, share of the image",
    "left_to_right": "Left lung area / right lung area",
    "contour_length": "Length of the lung outlines, in image sides",
    "irregularity": "Irregularity of the lung outlines (1: a disc)",
    "solidity": "Solidity of the lungs (1: convex)",
    "missing_share": "Estimated missing share of a lung",
    "ctr": "Cardiothoracic ratio",
    "ctr_one_row": "Cardiothoracic ratio, heart on one row",
}
"""Columns of the markers and what they are; grey values lie in [0, 1] after the universal preprocessing."""

REGIONS: Final = {"right": "Right lung", "left": "Left lung", "heart": "Heart", "rest": "Rest of the image"}
STATES: Final = ("original", "preprocessed")


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured in one radiograph.

    Parameters
    ----------
    markers
        By the names of `MARKERS`; None where not defined.
    regions
        Mean grey value in [0, 1] by state and region (`STATES`, `REGIONS`), for example ``"original_heart"``.
    patches
        Grey values in patches of the preprocessed lungs; None without lungs.
    histograms
        By state: share of lung pixels in each of `BINS` bins over [0, 1], float64 (BINS,); empty without lungs.
    ctr
        The cardiothoracic ratio with its lines in pixels of the radiograph; None where heart or lung is missing.
    """

    markers: Mapping[str, float | None]
    regions: Mapping[str, float | None]
    patches: PatchIntensity | None
    histograms: Mapping[str, NDArray[np.float64]]
    ctr: CardiothoracicRatio | None


def prepared(radiograph: Radiograph) -> NDArray[np.float32]:
    """The radiograph after the universal preprocessing, float32 (256, 256) in [0, 1]."""
    values = universal_preprocessing(radiograph.pixels, SIDE, GAMMA)
    return np.asarray(np.clip(values / np.float32(WHITE), 0.0, 1.0), dtype=np.float32)


def prepared_at_own_size(radiograph: Radiograph) -> NDArray[np.float32]:
    """The same without the last step, float32 (H, W) in [0, 1], to be looked at."""
    values = correct_gamma(equalise_histogram(radiograph.pixels), GAMMA)
    return np.asarray(np.clip(values / np.float32(WHITE), 0.0, 1.0), dtype=np.float32)


def measure(
    radiograph: Radiograph, mask: OrganMask, rng: np.random.Generator, *, symmetry: Symmetry = SYMMETRY
) -> Measured:
    """Measure a radiograph.

    Parameters
    ----------
    radiograph
        The image.
    mask
        Its organs; another size than the image's is resized.
    rng
        Draws the patches.
    symmetry
        What complete lungs look like.
    """
    pixels = prepared(radiograph)
    original = resize_to_square(radiograph.pixels, SIDE)
    small = resized(mask, pixels.shape)
    own = resized(mask, radiograph.shape)
    ctr = cardiothoracic_ratio(own.values, own.heart)
    patches = patch_intensity(pixels, small.values, rng)
    lungs = lungs_of(small.values)
    planes = {"original": original, "preprocessed": pixels}
    return Measured(
        markers=_markers(pixels, small, patches, ctr, symmetry),
        regions={
            f"{state}_{name}": _mean(region_intensity(plane, region))
            for state, plane in planes.items()
            for name, region in _regions(small).items()
        },
        patches=patches,
        histograms={state: _histogram(plane[lungs]) for state, plane in planes.items()} if lungs.any() else {},
        ctr=ctr,
    )


def markers_of(
    pixels: NDArray[np.float32], mask: OrganMask, rng: np.random.Generator, *, symmetry: Symmetry = SYMMETRY
) -> dict[str, float | None]:
    """The markers alone, of a preprocessed image float32 (S, S) in [0, 1] and its organs at that size."""
    patches = patch_intensity(pixels, mask.values, rng)
    return _markers(pixels, mask, patches, cardiothoracic_ratio(mask.values, mask.heart), symmetry)


def _markers(
    pixels: NDArray[np.float32],
    mask: OrganMask,
    patches: PatchIntensity | None,
    ctr: CardiothoracicRatio | None,
    symmetry: Symmetry,
) -> dict[str, float | None]:
    grey = region_intensity(pixels, lungs_of(mask.values))
    shape = lung_shape(mask.values)
    both = shape.right_area > 0 and shape.left_area > 0
    none = shape.right_area + shape.left_area == 0
    return {
        "lung_mean": _mean(grey),
        "lung_std": None if grey is None else grey.std,
        "inter_patch_mean": None if patches is None else patches.inter_mean,
        "inter_patch_std": None if patches is None else patches.inter_std,
        "intra_patch_std": None if patches is None else patches.intra_std,
        "lung_area": shape.right_area + shape.left_area,
        "left_to_right": shape.left_area / shape.right_area if both else None,
        "contour_length": shape.contour_length,
        "irregularity": shape.irregularity,
        "solidity": shape.solidity,
        # The expected symmetry is that of lungs without the heart.
        "missing_share": None
        if none or mask.heart_in_lungs
        else missing_share(shape.right_area, shape.left_area, symmetry),
        "ctr": None if ctr is None else ctr.ratio,
        "ctr_one_row": None if ctr is None else ctr.one_row_ratio,
    }


def _regions(mask: OrganMask) -> dict[str, NDArray[np.bool_]]:
    right, left = mask.values == RIGHT_LUNG, mask.values == LEFT_LUNG
    heart = np.zeros_like(right) if mask.heart is None else mask.heart & ~right & ~left
    return {"right": right, "left": left, "heart": heart, "rest": ~(right | left | heart)}


def _mean(grey: Intensity | None) -> float | None:
    return None if grey is None else grey.mean


def _histogram(values: NDArray[np.float32]) -> NDArray[np.float64]:
    counts, _ = np.histogram(values, bins=BINS, range=(0.0, 1.0))
    return np.asarray(counts / counts.sum(), dtype=np.float64)
