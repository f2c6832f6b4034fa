"""The masks that a manifest brings along: which to take, and whether their lungs reach behind the heart."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import HEART, HEART_INCLUDED_SOURCES, LEFT_LUNG, RIGHT_LUNG, read_lung_mask
from cxrscreen.errors import ManifestError

_COLUMNS: Final = (("lung_mask", "lung_mask_origin"), ("lung_mask_2", "lung_mask_2_origin"))


@dataclass(frozen=True, eq=False)
class OrganMask:
    """Organs of one radiograph.

    Parameters
    ----------
    values
        uint8 (H, W): 0 background, 1 right lung (viewer's left), 2 left lung, 3 heart where it is known.
    heart
        bool (H, W), the heart also where a lung mask of another origin covers it; None where it is not known.
    origin
        Who made the lungs: ``"human"``, ``"automatic"``, ``"landmarks"``, or a bundle's ``name@version``.
    heart_in_lungs
        Whether the lungs reach behind the heart, so that it counts as lung.
    """

    values: NDArray[np.uint8]
    heart: NDArray[np.bool_] | None
    origin: str
    heart_in_lungs: bool


def reference_mask(manifest: Manifest, image_id: str) -> OrganMask | None:
    """Read the reference mask of an image: lungs without the heart before lungs with it, then in the manifest's order.

    Parameters
    ----------
    manifest
        Its sources in `data.masks.HEART_INCLUDED_SOURCES` have human masks that reach behind the heart.
    image_id
        A row of it.

    Returns
    -------
    OrganMask or None
        None where the manifest has no lung mask of this image.

    Raises
    ------
    ManifestError
        If a mask cannot be read, or the heart's mask has another size.
    """
    row = manifest.table.loc[image_id]
    found = [
        (str(row[column]), str(row[origin]) or "unknown")
        for column, origin in _COLUMNS
        if str(row[column]) and str(row["lung_mask_sides"]) != "false"
    ]
    if not found:
        return None
    included = [row["source"] in HEART_INCLUDED_SOURCES and origin == "human" for _, origin in found]
    # The first that leaves the heart out, else the first.
    chosen = included.index(False) if False in included else 0
    path, origin = found[chosen]
    values = np.where(np.isin(raw := read_lung_mask(manifest.root / path), (RIGHT_LUNG, LEFT_LUNG)), raw, 0)
    heart = _heart(manifest, str(row["heart_mask"]), values.shape)
    if heart is not None:
        values = np.where(heart & (values == 0), HEART, values)
    return OrganMask(np.asarray(values, np.uint8), heart, origin, included[chosen])


def resized(mask: OrganMask, shape: tuple[int, int]) -> OrganMask:
    """Carry a mask to another size, nearest neighbour."""
    if mask.values.shape == shape:
        return mask
    size = (shape[1], shape[0])
    values = np.asarray(cv2.resize(mask.values, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    heart = None
    if mask.heart is not None:
        heart = cv2.resize(mask.heart.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return OrganMask(values, heart, mask.origin, mask.heart_in_lungs)


def _heart(manifest: Manifest, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    if not name:
        return None
    heart = read_lung_mask(manifest.root / name) == HEART
    if heart.shape != shape:
        raise ManifestError(
            f"The heart mask {name.rsplit('/', 1)[-1]} has another size than the lung mask: check heart_mask."
        )
    return heart if heart.any() else None
