"""Grad-CAM, and its guided form at the image's resolution."""

import numpy as np
from numpy.typing import NDArray

from cxrscreen.explain.cam import cam


def grad_cam(features: NDArray[np.float32], gradients: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Gradient-weighted class activation map.

    .. math:: L = \max\left(0, \sum_k \alpha_k A_k\right), \quad
              \alpha_k = \frac{1}{hw} \sum_{x, y} \frac{\partial s}{\partial A_k(x, y)}

    Selvaraju et al., ICCV 2017, Eq. 1 and 2 (reference [5] of the cascade).

    Parameters
    ----------
    features
        float (K, h, w), the activations A.
    gradients
        float (K, h, w), the gradient of the class's logit s at those activations.

    Returns
    -------
    NDArray
        float32 (h, w), not negative.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if features.shape != gradients.shape:
        raise ValueError(f"features and gradients must have one shape, got {features.shape} and {gradients.shape}")
    return np.maximum(cam(features, gradients.mean(axis=(1, 2))), 0)


def grad_cam_of_linear_head(features: NDArray[np.float32], class_weights: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Grad-CAM where a global average pooling and one linear layer follow the features: no gradient needed.

    The logit is :math:`s = b + \sum_k w_k \frac{1}{hw} \sum_{x, y} A_k(x, y)`, so
    :math:`\partial s / \partial A_k(x, y) = w_k / (hw)` at every place, its mean is
    :math:`\alpha_k = w_k / (hw)`, and

    .. math:: L = \frac{1}{hw} \max\left(0, \sum_k w_k A_k\right),

    the rectified CAM over the number of places.

    Parameters
    ----------
    features
        float (K, h, w), the maps that are average-pooled.
    class_weights
        float (K,), the linear layer's row of the class.

    Returns
    -------
    NDArray
        float32 (h, w), not negative.

    Raises
    ------
    ValueError
        If the numbers of maps and weights differ.
    """
    places = np.prod(features.shape[1:], dtype=np.float32)
    return np.maximum(cam(features, class_weights / places), 0)


def guided_grad_cam(guided: NDArray[np.float32], grad_cam_map: NDArray[np.float32]) -> NDArray[np.float32]:
    """Guided Grad-CAM: the fine guided gradient, kept where Grad-CAM looks (Selvaraju 2017, section 3.2).

    Parameters
    ----------
    guided
        float (S, S), the guided gradient at the image, any sign.
    grad_cam_map
        float (S, S), Grad-CAM brought to the image's size, not negative.

    Returns
    -------
    NDArray
        float32 (S, S), any sign: positive where a brighter pixel raises the logit. For showing, scale by
        ``"magnitude"``.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if guided.ndim != 2 or guided.shape != grad_cam_map.shape:
        raise ValueError(f"both maps must be (H, W) of one size, got {guided.shape} and {grad_cam_map.shape}")
    return (guided * grad_cam_map).astype(np.float32)
