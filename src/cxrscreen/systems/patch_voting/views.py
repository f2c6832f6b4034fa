"""What the classifier sees of one radiograph: the places of its patches, and the patches themselves."""

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.enhancement import WHITE, resize_to_square
from cxrscreen.systems.cascade.roi import SMALLEST_LUNGS
from cxrscreen.systems.patch_voting.morphology import organ_mask_at_size
from cxrscreen.systems.patch_voting.patches import cut_patches, draw_centres, image_seed
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, classifier_input


def lungs_of_patch_image(
    mask: NDArray[np.uint8], probabilities: NDArray[np.float32], side: int
) -> tuple[NDArray[np.bool_], bool]:
    """Carry the lungs to the image that patches are cut from.

    Parameters
    ----------
    mask, probabilities
        uint8 (S, S) and float32 (4, S, S) of the organ network.
    side
        Side of that image, pixels.

    Returns
    -------
    tuple
        bool (side, side), and whether it is to be trusted: where the lungs cover less than
        :data:`~cxrscreen.systems.cascade.roi.SMALLEST_LUNGS` of the image, all of it stands in for them.
    """
    lungs = np.isin(organ_mask_at_size(mask, probabilities, (side, side)), (1, 2))
    trusted = float(lungs.mean()) >= SMALLEST_LUNGS
    return (lungs if trusted else np.ones_like(lungs)), trusted


def region_of(lungs: NDArray[np.bool_], settings: Preprocessing) -> NDArray[np.bool_]:
    """Where centres of patches may lie: in the lungs, or anywhere if no mask is used."""
    return np.ones_like(lungs) if settings.shown == "whole" else lungs


def centres_of(image: NDArray[np.uint8], lungs: NDArray[np.bool_], settings: Preprocessing) -> NDArray[np.int64]:
    """Centres of an image's patches, drawn with a seed of its own; or the middle of the whole image.

    Parameters
    ----------
    image
        uint8 (S, S), from :func:`~cxrscreen.systems.patch_voting.preprocessing.patch_image`.
    lungs
        bool (S, S), not empty.
    settings
        Number of patches and seed.

    Returns
    -------
    ndarray
        int64 (K, 2): row and column; (1, 2) for the global approach.
    """
    if settings.approach == "global":
        return np.full((1, 2), image.shape[0] // 2, np.int64)
    return draw_centres(region_of(lungs, settings), settings.patches, image_seed(image, settings.seed))


def patch_views(
    image: NDArray[np.uint8], lungs: NDArray[np.bool_], corners: NDArray[np.int64], settings: Preprocessing, side: int
) -> NDArray[np.float32]:
    """Cut patches out as the classifier takes them.

    Parameters
    ----------
    image, lungs
        uint8 and bool (S, S).
    corners
        int64 (K, 2): row and column of each patch's upper left pixel.
    settings
        Side of a patch in the image, and what is shown.
    side
        Side of the network's input, pixels.

    Returns
    -------
    ndarray
        float32 (K, 1, side, side) in [-1, 3]; outside the image there is no lung.
    """
    grey = cut_patches(image, corners, settings.field, 0).astype(np.float32)
    mask = cut_patches(lungs, corners, settings.field, 0).astype(np.float32)
    if settings.field != side:
        grey = np.stack([resize_to_square(patch, side) for patch in grey])
        mask = np.stack([resize_to_square(patch, side) for patch in mask])
    return classifier_input(grey / np.float32(WHITE), mask, settings.shown)[:, None]
