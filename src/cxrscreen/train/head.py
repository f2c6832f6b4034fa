"""The linear layer of a classifier fitted by itself: a logistic regression on the features of the network as it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset

from cxrscreen.nets.classifier import Classifier

BATCH = 16
ITERATIONS = 1000


def fit_head(
    network: Classifier,
    images: Dataset[Any],
    truth: Sequence[int],
    weights: NDArray[np.float64],
    *,
    penalty: float,
    mirrored: bool,
) -> None:
    """Fit the head of a network, of one logit or of a class each, and set it; the rest of the network stays.

    The problem is convex: it has one solution, whatever the order of the images. The features are standardised for the
    fit, so that the penalty treats them alike; the standardisation is folded into the head.

    Parameters
    ----------
    network
        Changed in its ``classifier`` alone; left in evaluation mode.
    images
        Training images, not augmented; an item begins with the image.
    truth
        0 or 1 for each image, both occur; with more than one logit, the place of its class, all of which occur.
    weights
        Weight of each image in the loss, (N,), sum 1; see :func:`cxrscreen.train.batches.drawn_chances`.
    penalty
        Strength of half the squared norm of the standardised weights, against the weighted mean cross-entropy.
    mirrored
        Fit the mean features of each image and its mirror image; see
        :func:`cxrscreen.systems.mirrored.mirrored_outputs`.
    """
    features = pooled_features(network, images, mirrored=mirrored)
    scaler = StandardScaler().fit(features)
    count = len(features)
    # Weights of sum N make the sum of the library's loss N times the mean.
    fit = LogisticRegression(C=1.0 / (penalty * count), max_iter=ITERATIONS).fit(
        scaler.transform(features), np.asarray(truth), sample_weight=weights * count
    )
    slopes = fit.coef_ / scaler.scale_
    offsets = fit.intercept_ - slopes @ scaler.mean_
    head = network.classifier
    if head.out_features == 2:
        # Of two classes the library fits the difference of the logits alone: half of it speaks for either.
        slopes, offsets = (np.concatenate([-values, values]) / 2 for values in (slopes, offsets))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(slopes))
        head.bias.copy_(torch.from_numpy(offsets))


def pooled_features(network: Classifier, images: Dataset[Any], *, mirrored: bool) -> NDArray[np.float64]:
    """Pooled features of images, float64 (N, K); where ``mirrored``, the mean with those of the mirror images."""
    network.eval()
    found = []
    with torch.no_grad():
        for image, *_ in DataLoader(images, batch_size=BATCH):
            views = [image, image.flip(-1)] if mirrored else [image]
            pooled = [network.pool(network.feature_maps(view), view).double() for view in views]
            found.append(torch.stack(pooled).mean(dim=0))
    return torch.cat(found).numpy()
