"""LIME: which superpixels of an image moved a classifier, by hiding them at random.

Ribeiro, Singh, Guestrin: "Why should I trust you?" Explaining the predictions of any classifier, KDD 2016, with the
defaults of the authors' image explainer (reference [93] of the COVID-CXNet paper).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import slic
from sklearn.linear_model import Ridge

Hiding = Callable[[NDArray[np.bool_]], NDArray[np.float32]]
"""From pixels to hide, bool (H, W), to the image without them, as the classifier takes it, float32 (C, H, W)."""
Shares = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From images, float32 (N, C, H, W), to class probabilities, float32 (N, K)."""

SUPERPIXELS, SAMPLES, BATCH, KERNEL_WIDTH = 50, 800, 16, 0.25
WORK, FEWEST = 1000.0, 100
"""Multiply-adds, in units of 10^9, that all samples may take together, and the samples taken all the same; see
:func:`samples_for`. Two cores take about 15 seconds for them."""
LEAST = 0.005
"""Change of the probability below which a superpixel did nothing worth showing."""
COMPACTNESS, SMOOTHING = 0.3, 2.0
"""For grey values in [0, 1]: superpixels follow strong edges, stay compact where there are none, and ignore noise."""


@dataclass(frozen=True, eq=False)
class LimeExplanation:
    """What each superpixel did to one class's probability.

    Parameters
    ----------
    superpixels
        int64 (H, W): 0 where nothing was hidden, else the superpixel's number from 1.
    weights
        float32 (M,): change of the probability when superpixel 1 to M is shown, in the local linear model.
    fit
        Weighted coefficient of determination of that model on the samples; a low one means the weights say little.
    probability
        Of the class, for the image as it is.
    """

    superpixels: NDArray[np.int64]
    weights: NDArray[np.float32]
    fit: float
    probability: float

    def map(self) -> NDArray[np.float32]:
        """Weight of each pixel's superpixel, float32 (H, W): above 0 spoke for the class, below against it."""
        return np.concatenate([np.zeros(1, np.float32), self.weights])[self.superpixels]

    def strongest(self, count: int) -> NDArray[np.int8]:
        """The strongest superpixels of at least :data:`LEAST`, int8 (H, W): 1 for the class, -1 against it, 0 else."""
        order = np.argsort(-np.abs(self.weights), kind="stable")[:count]
        order = order[np.abs(self.weights[order]) >= LEAST]
        signs = np.zeros(len(self.weights) + 1, np.int8)
        signs[order + 1] = np.sign(self.weights[order]).astype(np.int8)
        return signs[self.superpixels]


def samples_for(work: float) -> int:
    """Samples for a network that takes so many multiply-adds an image, in units of 10^9: the slower, the fewer.

    By a count and not by a clock, so that the same seed gives the same weights on every machine.
    """
    return max(FEWEST, min(SAMPLES, int(WORK / work)))


def superpixels_of(grey: NDArray[np.float32], inside: NDArray[np.bool_], count: int = SUPERPIXELS) -> NDArray[np.int64]:
    """Divide what the classifier sees into superpixels (SLIC).

    Parameters
    ----------
    grey
        float32 (H, W) in [0, 1].
    inside
        bool (H, W): what is seen at all; black surroundings cannot be hidden.
    count
        Superpixels wanted, roughly.

    Returns
    -------
    ndarray
        int64 (H, W): 0 outside, else 1 to M, each number in use.
    """
    if not inside.any():
        return np.zeros(grey.shape, np.int64)
    found = slic(
        np.asarray(grey, dtype=np.float64),
        n_segments=count,
        compactness=COMPACTNESS,
        sigma=SMOOTHING,
        mask=None if inside.all() else inside,
        start_label=1,
        channel_axis=None,
    )
    _, numbers = np.unique(np.where(inside, found, 0), return_inverse=True)
    return np.asarray(numbers.reshape(grey.shape) + int(inside.all()), dtype=np.int64)


def lime(
    superpixels: NDArray[np.int64],
    hidden: Hiding,
    shares: Shares,
    place: int,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    batch: int = BATCH,
    advance: Callable[[int], None] = lambda _: None,
) -> LimeExplanation:
    r"""Explain one class of one image.

    Each sample hides every superpixel with probability one half; a ridge regression of the class's probability on what
    was shown, weighted by :math:`\sqrt{\exp(-d^2 / 0.25^2)}` with d the cosine distance from the whole image, gives the
    weights.

    Parameters
    ----------
    superpixels
        From :func:`superpixels_of`.
    hidden, shares
        Make an image without some pixels, and ask the classifier.
    place
        The class, a column of ``shares``.
    samples
        Images asked about, the first of them whole.
    seed
        Of the draws: the same seed, the same explanation.
    batch
        Images in one call; the result does not depend on it.
    advance
        Called with the number of images asked about since the last call.

    Returns
    -------
    LimeExplanation
        Of zero weights where there is no superpixel.

    Raises
    ------
    ValueError
        If there are fewer than two samples.
    """
    if samples < 2:
        raise ValueError(f"two samples or more are needed, got {samples}")
    count = int(superpixels.max())
    shown = np.random.default_rng(seed).integers(0, 2, (samples, count)).astype(bool)
    shown[0] = True
    answers: list[NDArray[np.float32]] = []
    for first in range(0, samples, batch):
        rows = shown[first : first + batch]
        images = np.stack([hidden(np.isin(superpixels, 1 + np.flatnonzero(~row))) for row in rows])
        answers.append(shares(images)[:, place])
        advance(len(rows))
    probabilities = np.concatenate(answers).astype(np.float64)
    if count == 0:
        return LimeExplanation(superpixels, np.zeros(0, np.float32), 0.0, float(probabilities[0]))
    nearness = similarity(shown)
    model = Ridge(alpha=1.0).fit(shown, probabilities, sample_weight=nearness)
    fit = float(model.score(shown, probabilities, sample_weight=nearness))
    return LimeExplanation(superpixels, model.coef_.astype(np.float32), fit, float(probabilities[0]))


def similarity(shown: NDArray[np.bool_], width: float = KERNEL_WIDTH) -> NDArray[np.float64]:
    """Weight of each sample (N, M) by its cosine distance from the whole image, float64 (N,) in [0, 1]."""
    distance = 1 - np.sqrt(shown.mean(axis=1))
    return np.asarray(np.sqrt(np.exp(-((distance / width) ** 2))), dtype=np.float64)
