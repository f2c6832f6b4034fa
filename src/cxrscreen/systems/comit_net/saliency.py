"""Grad-CAM of a decision from what the exported network gives; no gradient graph is needed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cxrscreen.explain.dense_head import ten_node_slopes
from cxrscreen.explain.grad_cam import grad_cam_of_linear_head

Arrays = Mapping[str, NDArray[np.float32]]


def branch_grad_cam(outputs: Arrays, weights: Arrays, branch: str, row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grad-CAM of a logit behind a branch of three dense layers, or of its mean over views, for one image.

    The branch is linear in the pooled features as long as the same nodes are above zero, so that the gradient at every
    place of the maps is the same: the slope of the logit along each pooled feature, over the number of places. The
    nodes above zero are those of each view, so that views are not to be averaged before.

    Parameters
    ----------
    outputs
        Of the network for V views of one image: ``features`` (V, K, h, w), all the same way up, and ``pooled`` (V, K).
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
    slopes = []
    for pooled in outputs["pooled"]:
        first = np.maximum(kernels[0] @ pooled + weights[f"{branch}.first.bias"], 0)
        second = np.maximum(kernels[1] @ first + weights[f"{branch}.second.bias"], 0)
        slopes.append(ten_node_slopes(first, kernels[0], ten_node_slopes(second, kernels[1], row)))
    # The mean of the views' logits has the slopes of each, over their number.
    views, channels, *size = outputs["features"].shape
    features = outputs["features"].reshape(views * channels, *size)
    return grad_cam_of_linear_head(features, np.concatenate(slopes) / np.float32(views))
