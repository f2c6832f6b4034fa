"""A linear layer of its own for features from shared maps, which differ from those of patches by themselves.

It is fitted to one classifier: its file names the digest of that one's weights, and beside others it is not used.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load, save

from cxrscreen.runtime.engine import Engine
from cxrscreen.runtime.weights import Weights, write_weights
from cxrscreen.systems.bundle import Bundle, sha256_of, write_card
from cxrscreen.systems.patch_voting.mode_choice import asked_exactly

WEIGHTS = "classifier.safetensors"
"""The bundle's file of the classifier's weights, to which all its graphs point."""
SHARED_HEAD = "shared-head.safetensors"
"""The linear layer's, tensors ``weight`` and ``bias``; a bundle need not have it."""
FITTED_TO = "classifier_sha256"
"""In its metadata: the digest of the classifier's weights."""


class LinearHead(NamedTuple):
    """A linear layer on pooled features: weights float32 (L, C) and bias float32 (L,)."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


def shared_head(bundle: Bundle) -> LinearHead | None:
    """The bundle's linear layer for shared maps, where it has one that was fitted to its classifier."""
    if SHARED_HEAD not in bundle.card.files or has_foreign_head(bundle):
        return None
    weights = Weights(bundle.file(SHARED_HEAD), bundle.card.files[SHARED_HEAD])
    return LinearHead(weights["weight"], weights["bias"])


def has_foreign_head(bundle: Bundle) -> bool:
    """Whether the bundle has a linear layer for shared maps that was fitted to another classifier.

    A file that names no classifier was written before files did, for the one beside it.
    """
    if SHARED_HEAD not in bundle.card.files:
        return False
    with safe_open(bundle.file(SHARED_HEAD), framework="numpy") as file:
        fitted_to = (file.metadata() or {}).get(FITTED_TO)
    return fitted_to not in {None, bundle.card.files.get(WEIGHTS)}


def write_shared_head(bundle: Bundle, head: LinearHead) -> Bundle:
    """Put a linear layer for shared maps into a bundle, which is asked in ``exact`` until it is measured again.

    Raises
    ------
    BundleError
        If a weight is too large for float16.
    """
    write_weights({"weight": head.weights, "bias": head.bias}, bundle.folder / SHARED_HEAD)
    return bind_shared_head(Bundle(bundle.folder, asked_exactly(bundle.card)))


def bind_shared_head(bundle: Bundle) -> Bundle:
    """Write into the linear layer's file that it was fitted to this bundle's classifier, and its hash into the card."""
    file = bundle.folder / SHARED_HEAD
    file.write_bytes(save(load(file.read_bytes()), metadata={FITTED_TO: bundle.card.files[WEIGHTS]}))
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
