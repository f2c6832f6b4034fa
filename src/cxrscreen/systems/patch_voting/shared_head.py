"""A linear layer of its own for features from shared maps, which differ from those of patches by themselves."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from cxrscreen.runtime.engine import Engine
from cxrscreen.runtime.weights import Weights
from cxrscreen.systems.bundle import Bundle, sha256_of, write_card

SHARED_HEAD = "shared-head.safetensors"
"""Its file, tensors ``weight`` and ``bias``; a bundle need not have it."""


class LinearHead(NamedTuple):
    """A linear layer on pooled features: weights float32 (L, C) and bias float32 (L,)."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


def shared_head(bundle: Bundle) -> LinearHead | None:
    """The bundle's linear layer for shared maps, where it has one."""
    if SHARED_HEAD not in bundle.card.files:
        return None
    weights = Weights(bundle.file(SHARED_HEAD), bundle.card.files[SHARED_HEAD])
    return LinearHead(weights["weight"], weights["bias"])


def write_shared_head(bundle: Bundle, head: LinearHead) -> Bundle:
    """Put a linear layer for shared maps into a bundle, and its hash into the card."""
    file = bundle.folder / SHARED_HEAD
    save_file({"weight": head.weights.astype(np.float16), "bias": head.bias}, file)
    files = {**bundle.card.files, SHARED_HEAD: sha256_of(file)}
    return write_card(bundle.folder, bundle.card.model_copy(update={"files": files}))


def own_head(network: Engine) -> LinearHead:
    """The linear layer with which a classifier was trained."""
    return LinearHead(network.weights["classifier.weight"], network.weights["classifier.bias"])


def fitted_head(
    head: LinearHead, shared: NDArray[np.float32], exact: NDArray[np.float32], penalty: float
) -> LinearHead:
    """Correct a linear layer so that it says of features from shared maps what it says of patches by themselves.

    A ridge regression of the difference, which is 0 where the two features hold nothing that tells of it.

    Parameters
    ----------
    head
        The classifier's own.
    shared, exact
        float32 (N, C): pooled features of the same patches from shared maps, and from the patches by themselves.
    penalty
        On the squared change of the weights of standardised features, beside the mean squared difference.
    """
    truth = exact.astype(np.float64) @ head.weights.T + head.bias
    missing = truth - (shared.astype(np.float64) @ head.weights.T + head.bias)
    # The softmax does not know what is added to all classes.
    missing -= missing.mean(axis=1, keepdims=True)
    mean, spread = shared.mean(axis=0, dtype=np.float64), shared.std(axis=0, dtype=np.float64) + 1e-3
    standard = (shared - mean) / spread
    gram = standard.T @ standard + penalty * len(standard) * np.eye(standard.shape[1])
    change = np.linalg.solve(gram, standard.T @ missing) / spread[:, None]
    bias = head.bias + missing.mean(axis=0) - mean @ change
    return LinearHead((head.weights + change.T).astype(np.float32), bias.astype(np.float32))
