"""Gradients of a logit at the feature maps where dense layers follow them: closed forms, no gradient graph needed."""

import numpy as np
from numpy.typing import NDArray


def ten_node_slopes(
    nodes: NDArray[np.float32], hidden_weights: NDArray[np.float32], class_weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    r"""Slope of a logit along each pooled feature, where one rectified dense layer lies between the two.

    With pooled features f, nodes :math:`a = \max(0, U f + c)` and logit :math:`s = v \cdot a + b`,

    .. math:: \frac{\partial s}{\partial f_k} = \sum_{j : a_j > 0} v_j U_{jk},

    which takes the place of a linear head's weights in
    :func:`cxrscreen.explain.grad_cam.grad_cam_of_linear_head`.

    Parameters
    ----------
    nodes
        float (M,), a: the values behind the rectifier, for one image.
    hidden_weights
        float (M, K), U.
    class_weights
        float (M,), v: the class's row; for what spoke against a class, its negative.

    Returns
    -------
    ndarray
        float32 (K,).

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if nodes.shape != class_weights.shape or hidden_weights.shape[:1] != nodes.shape:
        raise ValueError(
            f"nodes (M,), weights (M, K) and (M,) expected, got {nodes.shape}, {hidden_weights.shape} and "
            f"{class_weights.shape}"
        )
    return np.asarray(np.where(nodes > 0, class_weights, 0) @ hidden_weights, dtype=np.float32)


def flattened_gradients(
    features: NDArray[np.float32],
    first: tuple[NDArray[np.float32], NDArray[np.float32]],
    second: tuple[NDArray[np.float32], NDArray[np.float32]],
    class_weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Gradient of a logit at feature maps that are flattened into two rectified dense layers (the base model).

    Parameters
    ----------
    features
        float (K, h, w), of one image.
    first, second
        Weights and bias of the dense layers: (M, K h w) and (M,), (L, M) and (L,).
    class_weights
        float (L,), the logit's row.

    Returns
    -------
    ndarray
        float32 (K, h, w), for :func:`cxrscreen.explain.grad_cam.grad_cam`.
    """
    below = np.maximum(first[0] @ features.ravel() + first[1], 0)
    above = second[0] @ below + second[1]
    back = np.where(above > 0, class_weights, 0) @ second[0]
    return np.asarray((np.where(below > 0, back, 0) @ first[0]).reshape(features.shape), dtype=np.float32)
