import numpy as np
import pytest
from pydantic import ValidationError

from cxrscreen.evaluate.metrics import auc
from cxrscreen.train.embedding_classifier import EmbeddingSettings, fit_on_embedding


@pytest.fixture(scope="module")
def rings():
    """Positives inside a ring of negatives, on scales that differ a thousandfold: no line separates them."""
    rng = np.random.default_rng(0)
    truth = np.arange(160) % 2
    angle, radius = rng.uniform(0, 2 * np.pi, 160), np.where(truth, 0.5, 2.0) + rng.normal(0, 0.1, 160)
    values = np.stack([radius * np.cos(angle), 1000 * radius * np.sin(angle)], axis=1).astype(np.float32)
    return values[:80], truth[:80], values[80:], truth[80:]


@pytest.mark.parametrize(("name", "least"), [("forest", 0.98), ("svm-rbf", 0.98)])
def test_a_ring_is_learned(rings, name, least):
    learned, truth, asked, expected = rings
    score = fit_on_embedding(EmbeddingSettings(classifier=name, trees=30), learned, truth, seed=1)
    found = score(asked)
    assert found.min() >= 0
    assert found.max() <= 1
    assert auc(expected, found) > least
    again = fit_on_embedding(EmbeddingSettings(classifier=name, trees=30), learned, truth, seed=1)
    np.testing.assert_array_equal(found, again(asked))


def test_a_sigmoid_kernel_fails_on_a_ring_and_not_on_a_line(rings):
    learned, truth, asked, expected = rings
    settings = EmbeddingSettings(classifier="svm-sigmoid")
    assert auc(expected, fit_on_embedding(settings, learned, truth)(asked)) < 0.9
    shift = np.float32([3, 3000])
    moved = fit_on_embedding(settings, learned + truth[:, None] * shift, truth)
    assert auc(expected, moved(asked + expected[:, None].astype(np.float32) * shift)) > 0.95


def test_what_cannot_be_fitted_is_said(rings):
    with pytest.raises(ValueError, match="both classes"):
        fit_on_embedding(EmbeddingSettings(classifier="forest"), rings[0], np.zeros(80, np.int64))
    with pytest.raises(ValidationError):
        EmbeddingSettings(classifier="svm-cubic")
