"""Grad-CAM of a class from what the exported classifier gives, whichever head it has; no gradient graph is needed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cxrscreen.explain.dense_head import flattened_gradients, ten_node_slopes
from cxrscreen.explain.grad_cam import grad_cam, grad_cam_of_linear_head

Arrays = Mapping[str, NDArray[np.float32]]


def class_grad_cam(outputs: Arrays, weights: Arrays, place: int) -> NDArray[np.float32]:
    """Grad-CAM of one class for one image.

    Parameters
    ----------
    outputs
        Of the classifier for one image: ``features`` (1, K, h, w), ``pooled`` (1, M), ``logits``.
    weights
        Of the classifier, by state_dict name; its names tell which head follows the features.
    place
        The class. Of a single logit, 1 is what it speaks for and 0 what it speaks against.

    Returns
    -------
    ndarray
        float32 (h, w), not negative.
    """
    features, rows = outputs["features"][0], weights["classifier.weight"]
    row = rows[place] if len(rows) > 1 else rows[0] * np.float32(1 if place == 1 else -1)
    if "dense1.weight" in weights:
        first, second = ((weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in ("dense1", "dense2"))
        return grad_cam(features, flattened_gradients(features, first, second, row))
    if "hidden.weight" in weights:
        row = ten_node_slopes(outputs["pooled"][0], weights["hidden.weight"], row)
    return grad_cam_of_linear_head(features, row)
