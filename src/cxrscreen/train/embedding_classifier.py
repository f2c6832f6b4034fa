"""Classifiers on a network's embedding of the images: a random forest, or a support vector machine."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cxrscreen.train.recipe import Settings

Kind = Literal["forest", "svm-sigmoid", "svm-rbf"]
KERNELS = {"svm-sigmoid": "sigmoid", "svm-rbf": "rbf"}
"""The Gaussian kernel is the radial basis function: exp(-gamma |x - y|^2)."""

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""From embeddings (N, K) to scores (N,) in [0, 1]."""


class EmbeddingSettings(Settings):
    """A classifier on the embedding.

    Attributes
    ----------
    classifier
        Its name.
    trees, leaf
        Of the forest: trees, and images that a leaf holds at least.
    penalty, gamma
        Of the support vector machines: C, and the kernel's gamma; None: one over the number of values times their
        variance.
    """

    classifier: Kind
    trees: int = Field(default=500, ge=1)
    leaf: int = Field(default=1, ge=1)
    penalty: float = Field(default=1.0, gt=0)
    gamma: float | None = Field(default=None, gt=0)


def fit_on_embedding(
    settings: EmbeddingSettings, embedding: NDArray[np.float32], truth: NDArray[np.int64], *, seed: int = 0
) -> Scorer:
    """Fit a classifier; the classes weigh the same, and the embedding is standardised.

    Parameters
    ----------
    settings
        Which, and its numbers.
    embedding
        float32 (N, K) of the training images.
    truth
        int64 (N,): 0 or 1, both occur.
    seed
        Of the forest's draws.

    Returns
    -------
    callable
        From embeddings to scores. Those of a forest are its shares of votes; those of a support vector machine are the
        logistic function of its signed distance, which orders images and is no calibrated probability.

    Raises
    ------
    ValueError
        If a class is missing.
    """
    if np.unique(truth).size != 2:
        raise ValueError("the training images must be of both classes")
    fitted = make_pipeline(StandardScaler(), _classifier(settings, seed)).fit(embedding, truth)

    def score(values: NDArray[np.float32]) -> NDArray[np.float64]:
        return _scores(fitted, values, forest=settings.classifier == "forest")

    return score


def _classifier(settings: EmbeddingSettings, seed: int) -> Any:
    if settings.classifier == "forest":
        return RandomForestClassifier(
            settings.trees, min_samples_leaf=settings.leaf, class_weight="balanced_subsample", random_state=seed
        )
    return SVC(
        C=settings.penalty,
        kernel=KERNELS[settings.classifier],
        gamma="scale" if settings.gamma is None else settings.gamma,
        class_weight="balanced",
    )


def _scores(fitted: Pipeline, values: NDArray[np.float32], *, forest: bool) -> NDArray[np.float64]:
    found = fitted.predict_proba(values)[:, 1] if forest else expit(fitted.decision_function(values))
    return np.asarray(found, np.float64)
