"""From the answers of many patches to one answer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from cxrscreen.data.protocols import PATCH_CLASSES

CLASSES = tuple(PATCH_CLASSES)
"""What the patches vote on, in the order of the logits; ``viral`` includes COVID-19, which is not told apart."""


CLOSE = 0.10
"""Lead in shares of the patches below which the other class could easily have won."""


@dataclass(frozen=True, eq=False)
class Vote:
    """The outcome for one image.

    Parameters
    ----------
    label
        Index of the class that won.
    counts
        int64 (L,): patches that declared each class.
    probabilities
        float64 (L,), sum 1: mean softmax probability over the patches.
    """

    label: int
    counts: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @property
    def second(self) -> int:
        """Index of the class that came next."""
        return int(np.lexsort((self.probabilities, self.counts))[-2])

    @property
    def lead(self) -> float:
        """Lead over the next class in shares of the patches, in [0, 1]; of a single view in probability."""
        if self.counts.sum() == 1:
            return float(self.probabilities[self.label] - self.probabilities[self.second])
        # Whole numbers are divided last: a lead of 4 in 20 is 0.2, and not a little less.
        return float((self.counts[self.label] - self.counts[self.second]) / self.counts.sum())


def majority_vote(patch_probabilities: NDArray[np.float32]) -> Vote:
    """Let patches vote: the most frequently declared class wins (patch-voting paper, section II-B).

    Parameters
    ----------
    patch_probabilities
        float32 (K, L): softmax probabilities, K at least 1. A patch declares its most probable class.

    Returns
    -------
    Vote
        Of classes with equally many votes the one with the larger mean probability wins; the paper leaves ties open.
    """
    counts = np.bincount(patch_probabilities.argmax(axis=1), minlength=patch_probabilities.shape[1])
    means = patch_probabilities.mean(axis=0, dtype=np.float64)
    label = max(range(len(counts)), key=lambda index: (counts[index], means[index]))
    return Vote(label, counts.astype(np.int64), means)


def vote_scores(vote: Vote) -> NDArray[np.float64]:
    """Scores (L,) of sum 1 whose greatest is the class that won: votes, and half a vote shared by mean probability.

    So ties are broken as the vote breaks them, and images with equally many votes are still ordered. A single view, as
    of the global baseline, has no votes to count: its probabilities are its scores.
    """
    if vote.counts.sum() == 1:
        return vote.probabilities
    scores = vote.counts + 0.5 * vote.probabilities
    return np.asarray(scores / scores.sum(), dtype=np.float64)


def class_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the classes of logits (K, L), float32: the r^c of Eq. 5, since the classes exclude each other."""
    return np.asarray(softmax(logits.astype(np.float64), axis=1), dtype=np.float32)
