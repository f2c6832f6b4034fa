"""The 14 findings by a linear layer on the finished classifier's features, for a bundle without a second network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader

from cxrscreen.nets.classifier import Classifier
from cxrscreen.systems.covid_cxnet.images import RegionImages
from cxrscreen.systems.covid_cxnet.pretraining import FEWEST, finding_aucs

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths of the penalty that are tried; the validation images choose one for all findings."""
SMALLEST_SPREAD = 1e-2
"""Of a feature's standard deviation, as a share of the largest."""
BATCH = 16


@dataclass(frozen=True, eq=False)
class FindingHead:
    """A linear layer on pooled features.

    Parameters
    ----------
    weight, bias
        float32 (14, K) and (14,): logits of the findings. Where too few training images tell of a finding, its weights
        are zero and its bias says how often it is there.
    agreement
        On validation images: ``images``, ``findings`` (told apart by both), mean ``auc_network`` and ``auc_head`` over
        these, and ``rank_correlation``, the mean over findings of Spearman's between both, image by image.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    agreement: Mapping[str, float]


def fit_finding_head(
    classifier: Classifier, network: Classifier, learned: RegionImages, held: RegionImages, threads: int | None = None
) -> FindingHead:
    """Fit the layer, and compare it with the network that was pre-trained on the findings.

    Parameters
    ----------
    classifier
        Finished; its last feature maps are pooled over the image.
    network
        The pre-trained one.
    learned, held
        Training and validation images of the pre-training, with what is known of their findings; not varied.
    threads
        Of torch; None leaves its choice.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    features = [pooled_features(classifier, images) for images in (learned, held)]
    known = [np.asarray(images.truth.numpy(), np.float32) for images in (learned, held)]
    tried = [fit_layer(features[0], known[0], strength) for strength in STRENGTHS]
    said = [features[1] @ weight.T + bias for weight, bias in tried]
    means = [float(np.mean([*finding_aucs(known[1], each).values(), 0.0])) for each in said]
    best = int(np.argmax(means))
    weight, bias = tried[best]
    return FindingHead(weight, bias, agreement_of(known[1], _logits(network, held), said[best]))


def chart_quality(network: Classifier, held: RegionImages, threads: int | None = None) -> dict[str, float]:
    """What the network itself reaches on the validation images: ``images``, ``findings`` and ``auc_network``.

    See :class:`FindingHead`.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    areas = finding_aucs(np.asarray(held.truth.numpy(), np.float32), _logits(network, held))
    return {"images": float(len(held)), "findings": float(len(areas)), "auc_network": _mean(list(areas.values()))}


def fit_layer(
    features: NDArray[np.float32], known: NDArray[np.float32], strength: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logistic regression of each finding on features (N, K), from what is known of it (N, 14), NaN for nothing.

    Returns
    -------
    tuple
        float32 (14, K) and (14,), for features as they are.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0)
    # A feature that is the same in all images must not be magnified into one that differs.
    spread = np.maximum(spread, SMALLEST_SPREAD * max(float(spread.max()), 1e-6))
    scaled = (features - centre) / spread
    weight = np.zeros((known.shape[1], features.shape[1]), np.float32)
    bias = np.zeros(known.shape[1], np.float32)
    for place, column in enumerate(known.T):
        rows = ~np.isnan(column)
        present = int((column[rows] == 1).sum())
        # A finding of which nothing is known is as likely as not.
        share = (present + 0.5) / (rows.sum() + 1)
        bias[place] = np.log(share / (1 - share))
        if min(present, int(rows.sum()) - present) < FEWEST:
            continue
        model = LogisticRegression(C=strength, max_iter=500).fit(scaled[rows], column[rows])
        weight[place] = model.coef_[0] / spread
        bias[place] = model.intercept_[0] - float(weight[place] @ centre)
    return weight, bias


def agreement_of(
    known: NDArray[np.float32], network: NDArray[np.float32], head: NDArray[np.float32]
) -> dict[str, float]:
    """Compare logits (N, 14) of a network and of a layer; see :class:`FindingHead`."""
    areas = [finding_aucs(known, logits) for logits in (network, head)]
    ranks = [
        float(spearmanr(one, other).statistic)
        for one, other in zip(expit(network).T, expit(head).T, strict=True)
        if np.ptp(one) > 0 and np.ptp(other) > 0
    ]
    return {
        "images": float(len(known)),
        "findings": float(len(areas[0])),
        "auc_network": _mean(list(areas[0].values())),
        "auc_head": _mean(list(areas[1].values())),
        "rank_correlation": _mean(ranks),
    }


def pooled_features(classifier: Classifier, images: RegionImages) -> NDArray[np.float32]:
    """Means of the last feature maps, float32 (N, K)."""
    classifier = classifier.eval()
    with torch.inference_mode():
        found = [
            classifier.feature_maps(image).mean(dim=(2, 3)).numpy()
            for image, *_ in DataLoader(images, batch_size=BATCH)
        ]
    return np.concatenate(found).astype(np.float32)


def _logits(network: Classifier, images: RegionImages) -> NDArray[np.float32]:
    network = network.eval()
    with torch.inference_mode():
        found = [network(image).numpy() for image, *_ in DataLoader(images, batch_size=BATCH)]
    return np.concatenate(found).astype(np.float32)


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4) if values else 0.0
