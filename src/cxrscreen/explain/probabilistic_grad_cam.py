"""Probabilistic Grad-CAM: one saliency map for each class from many patches of an image.

Oh, Park, Ye: Deep learning COVID-19 features on CXR using limited training data sets, IEEE TMI 2020, section II-C.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrscreen.explain.grad_cam import grad_cam_of_linear_head
from cxrscreen.explain.heat_map import heat_map


@dataclass(frozen=True, eq=False)
class PatchSaliency:
    """Saliency maps of an image, by class, and how often each pixel was looked at.

    Parameters
    ----------
    maps
        float32 (L, H, W): in [0, 1] where a patch covers the pixel, NaN where none does: not looked at is not the same
        as unimportant.
    counts
        int32 (H, W), the K_i of Eq. 5: patches that cover each pixel.
    """

    maps: NDArray[np.float32]
    counts: NDArray[np.int32]

    @property
    def looked_at(self) -> NDArray[np.bool_]:
        """Whether at least one patch covers each pixel, (H, W)."""
        return self.counts > 0

    def shown(self, label: int) -> NDArray[np.float32]:
        """Map of a class for a display that knows no missing values, float32 (H, W): 0 where nobody looked."""
        return np.where(self.looked_at, self.maps[label], np.float32(0))


def probabilistic_grad_cam(
    patch_maps: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    corners: NDArray[np.int64],
    shape: tuple[int, int],
    side: int,
) -> PatchSaliency:
    r"""Put the patches' Grad-CAMs together, each weighted by its probability of the class (Eq. 5).

    .. math:: [l^c_{prob}(x)]_i = \frac{1}{K_i} \Big[ \sum_{k=1}^K r^c(x_k) \, Q_k(l^c(x_k)) \Big]_i

    with :math:`r^c` the softmax probability of a patch, :math:`Q_k` its place in an image of zeros and :math:`K_i` the
    number of patches that cover pixel i.

    Parameters
    ----------
    patch_maps
        float32 (K, L, u, v), of any range: the rectified Grad-CAMs of K patches for L classes at the network's
        resolution, from :func:`patch_grad_cam`. Each is enlarged to the patch, then scaled to [0, 1].
    probabilities
        float32 (K, L) in [0, 1].
    corners
        int (K, 2): row and column of each patch's upper left pixel; a part of a patch may lie outside the image.
    shape
        Rows and columns of the image.
    side
        Rows and columns of a patch in the image, pixels.

    Returns
    -------
    PatchSaliency
        For all L classes.

    Raises
    ------
    ValueError
        If the numbers of patches or classes differ, or a probability is outside [0, 1].
    """
    count, classes = probabilities.shape
    if patch_maps.shape[:2] != (count, classes) or corners.shape != (count, 2):
        raise ValueError(
            f"maps (K, L, u, v), probabilities (K, L) and corners (K, 2) expected, got {patch_maps.shape}, "
            f"{probabilities.shape} and {corners.shape}"
        )
    if probabilities.min(initial=0) < 0 or probabilities.max(initial=0) > 1:
        raise ValueError("probabilities must lie in [0, 1]")
    total = np.zeros((classes, *shape), np.float32)
    counts = np.zeros(shape, np.int32)
    for maps, chances, (top, left) in zip(patch_maps, probabilities, corners.tolist(), strict=True):
        inside, own = _overlap(top, shape[0], side), _overlap(left, shape[1], side)
        counts[inside[0], own[0]] += 1
        for label in range(classes):
            enlarged = heat_map(maps[label], (side, side))
            total[label, inside[0], own[0]] += chances[label] * enlarged[inside[1], own[1]]
    # A sum of K_i terms in [0, 1] may exceed K_i by rounding.
    mean = np.minimum(total / np.maximum(counts, 1), 1.0)
    return PatchSaliency(np.where(counts > 0, mean, np.nan).astype(np.float32), counts)


def patch_grad_cam(features: NDArray[np.float32], class_weights: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Grad-CAM of each patch for each class, before enlarging (Eq. 3 and 4).

    .. math:: \sigma\Big(\sum_k \alpha_k^c f^k\Big), \quad
              \alpha_k^c = \frac{1}{Z} \sum_i \frac{\partial y_c}{\partial f_i^k}

    The classifiers pool their features and end in one linear layer, so with Z the number of places
    :math:`\alpha_k^c = w_k^c / Z` and no gradient is needed; the map is scaled to [0, 1] afterwards, so Z does not
    matter.

    Parameters
    ----------
    features
        float32 (K, C, u, v): last feature maps of K patches.
    class_weights
        float32 (L, C): the linear layer.

    Returns
    -------
    ndarray
        float32 (K, L, u, v), not negative.
    """
    return np.stack([[grad_cam_of_linear_head(maps, weights) for weights in class_weights] for maps in features])


def _overlap(start: int, size: int, side: int) -> tuple[slice, slice]:
    """Where a patch along one axis lies in the image, and which part of the patch that is."""
    first, last = max(start, 0), max(min(start + side, size), 0)
    return slice(first, last), slice(first - start, max(last, first) - start)
