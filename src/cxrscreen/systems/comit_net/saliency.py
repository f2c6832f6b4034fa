"""Grad-CAM of a decision from what the exported network gives; no gradient graph is needed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cxrscreen.explain.dense_head import ten_node_slopes
from cxrscreen.explain.grad_cam import grad_cam_of_linear_head

Arrays = Mapping[str, NDArray[np.float32]]


def branch_grad_cam(outputs: Arrays, weights: Arrays, branch: str, row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grad-CAM of a logit behind a branch of three dense layers, for one image.

    The branch is linear in the pooled features as long as the same nodes are above zero, so that the gradient at every
    place of the maps is the same: the slope of the logit along each pooled feature, over the number of places.

    Parameters
    ----------
    outputs
        Of the network for one image: ``features`` (1, K, h, w) and ``pooled`` (1, K).
    weights
        Of the network, by state_dict name.
    branch
        ``health`` or ``diagnosis``.
    row
        float32 (M,): the last layer's weights of the logit.

    Returns
    -------
    ndarray
        float32 (h, w), not negative.
    """
    kernels = [weights[f"{branch}.{name}.weight"] for name in ("first", "second")]
    first = np.maximum(kernels[0] @ outputs["pooled"][0] + weights[f"{branch}.first.bias"], 0)
    second = np.maximum(kernels[1] @ first + weights[f"{branch}.second.bias"], 0)
    slopes = ten_node_slopes(first, kernels[0], ten_node_slopes(second, kernels[1], row))
    return grad_cam_of_linear_head(outputs["features"][0], slopes)
