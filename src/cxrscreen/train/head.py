"""The linear layer of a classifier fitted by itself: a logistic regression on the features of the network as it is."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Dataset

from cxrscreen.nets.classifier import Classifier
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export import export_classifier

BATCH = 16
ITERATIONS = 1000


def fit_head(
    head: nn.Linear,
    features: NDArray[np.float64],
    truth: Sequence[int],
    weights: NDArray[np.float64],
    *,
    penalty: float,
) -> None:
    """Fit the linear layer of a network, of one logit or of a class each, and set it.

    The problem is convex: it has one solution, whatever the order of the images. The features are standardised for the
    fit, so that the penalty treats them alike; the standardisation is folded into the head.

    Parameters
    ----------
    head
        The layer.
    features
        What it is given for training images that are not augmented, (N, K), see :func:`pooled_features`.
    truth
        0 or 1 for each image, both occur; with more than one logit, the place of its class, all of which occur.
    weights
        Weight of each image in the loss, (N,), sum 1; see :func:`cxrscreen.train.batches.drawn_chances`.
    penalty
        Strength of half the squared norm of the standardised weights, against the weighted mean cross-entropy.
    """
    scaler = StandardScaler().fit(features)
    count = len(features)
    # Weights of sum N make the sum of the library's loss N times the mean.
    fit = LogisticRegression(C=1.0 / (penalty * count), max_iter=ITERATIONS).fit(
        scaler.transform(features), np.asarray(truth), sample_weight=weights * count
    )
    slopes = fit.coef_ / scaler.scale_
    offsets = fit.intercept_ - slopes @ scaler.mean_
    if head.out_features == 2:
        # Of two classes the library fits the difference of the logits alone: half of it speaks for either.
        slopes, offsets = (np.concatenate([-values, values]) / 2 for values in (slopes, offsets))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(slopes))
        head.bias.copy_(torch.from_numpy(offsets))


def pooled_features(network: Classifier, images: Dataset[Any], *, mirrored: bool) -> NDArray[np.float64]:
    """Pooled features of images, float64 (N, K); an item of ``images`` begins with the image.

    Where ``mirrored`` they are the mean with those of the mirror images, see
    :func:`cxrscreen.systems.mirrored.mirrored_outputs`. They are those of the exported network, compiled, with which
    screening will feed the head. The network is left in evaluation mode.
    """
    network.eval()
    found = []
    with TemporaryDirectory() as folder:
        graph = Path(folder) / "network.onnx"
        export_classifier(network, images[0][0].shape[-1], graph.with_suffix(".safetensors"), graph)
        engine = load_engine(graph)
        for image, *_ in DataLoader(images, batch_size=BATCH):
            views = [image, image.flip(-1)] if mirrored else [image]
            pooled = [engine(view.numpy())["pooled"].astype(np.float64) for view in views]
            found.append(np.mean(pooled, axis=0))
    return np.concatenate(found)
