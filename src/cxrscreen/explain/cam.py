"""The class activation map, in both readings of the cascade's Eq. 1."""

import math

import numpy as np
from numpy.typing import NDArray


def cam(features: NDArray[np.float32], class_weights: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Class-weighted activation map: which places raise a class's logit, and by how much.

    .. math:: M(x, y) = \sum_k w_k A_k(x, y)

    Its mean over the map, plus the bias, is the logit. Zhou et al., CVPR 2016, Eq. 2 (reference [4] of the cascade).

    Parameters
    ----------
    features
        float (K, h, w), the maps that are average-pooled.
    class_weights
        float (K,), the linear layer's row of the class.

    Returns
    -------
    NDArray
        float32 (h, w), any sign; :func:`~cxrscreen.explain.heat_map.heat_map` makes it showable.

    Raises
    ------
    ValueError
        If the numbers of maps and weights differ.
    """
    if features.ndim != 3 or class_weights.shape != features.shape[:1]:
        raise ValueError(
            f"features (K, h, w) and weights (K,) expected, got {features.shape} and {class_weights.shape}"
        )
    return np.tensordot(class_weights, features, axes=1).astype(np.float32)


def cam_literal(pooled: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Eq. 1 of the cascade as it is printed: the pooled feature vector laid out as a rectangle, row by row.

    .. math:: f \in \mathbb{R}^{1024} \to h \in \mathbb{R}^{32 \times 32}

    and on to H by :func:`~cxrscreen.explain.heat_map.heat_map` with ``"min_max"``. Pooling has removed position, so the
    places of this map are indices of channels and show nothing of where a finding lies; it exists to compare with.

    Parameters
    ----------
    pooled
        float (K,); 1024 for DenseNet-121, 1280 for EfficientNet-Lite0.

    Returns
    -------
    NDArray
        float32 (r, K / r) with r the largest divisor of K up to its root: 32 x 32 of 1024, as in the paper, and 32 x 40
        of 1280. Values as the features: not negative behind a ReLU.

    Raises
    ------
    ValueError
        If it is no vector, or has no feature.
    """
    if pooled.ndim != 1 or pooled.size == 0:
        raise ValueError(f"a vector of features expected, got {pooled.shape}")
    rows = next(r for r in range(math.isqrt(pooled.size), 0, -1) if pooled.size % r == 0)
    return pooled.reshape(rows, -1).astype(np.float32)
