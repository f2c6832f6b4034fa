import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cxrscreen.errors import ManifestError
from cxrscreen.train.probe import ProbeRecipe, train_probe

QUICK = ProbeRecipe(steps=40, batch=16, checks=4, learning_rate=2e-3, bf16=False)


def blobs(count: int, seed: int):
    """Noise; class 1 has a bright blob anywhere, so that a linear look at single pixels does not tell it."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 120, size=(count, 32, 32), dtype=np.uint8)
    classes = rng.integers(0, 2, size=count)
    for image, name in zip(images, classes, strict=True):
        row, column = rng.integers(4, 22, size=2)
        image[row : row + 6, column : column + 6] = 220 if name else 20
    return images, classes.astype(np.int64)


@pytest.fixture(scope="module")
def learned():
    return train_probe(*blobs(120, 0), *blobs(40, 1), seed=3, recipe=QUICK)


def test_learns_what_is_there_and_gives_probabilities(learned):
    images, classes = blobs(60, 2)
    given = learned(images)
    assert given.shape == (60, 2)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given.sum(axis=1), 1.0, atol=1e-5)
    assert roc_auc_score(classes, given[:, 1]) > 0.95


def test_a_score_does_not_depend_on_the_company_of_an_image(learned):
    images, _ = blobs(20, 4)
    np.testing.assert_allclose(learned(images)[7:8], learned(images[7:8]), atol=1e-5)


def test_the_same_seed_gives_the_same_probe_and_leaves_the_global_seed_alone():
    short = QUICK.model_copy(update={"steps": 6, "checks": 2})
    images, classes = blobs(40, 0)
    before = torch.get_rng_state()
    first, second, other = (
        train_probe(images, classes, images, classes, seed=seed, recipe=short)(images) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-4
    assert torch.equal(before, torch.get_rng_state())


def test_rare_classes_are_drawn_as_often_as_common_ones():
    images, classes = blobs(200, 0)
    rare = np.flatnonzero(classes == 1)[:6]
    chosen = np.concatenate([np.flatnonzero(classes == 0), rare])
    probe = train_probe(images[chosen], classes[chosen], *blobs(40, 1), seed=0, recipe=QUICK)
    seen, truth = blobs(60, 2)
    assert (probe(seen)[truth == 1, 1] > 0.5).mean() > 0.5


def test_one_class_or_nothing_to_validate_on_is_one_sentence():
    images, classes = blobs(10, 0)
    with pytest.raises(ManifestError, match="at least two classes"):
        train_probe(images, np.zeros(10, np.int64), images, classes, recipe=QUICK)
    with pytest.raises(ManifestError, match="at least two classes"):
        train_probe(images, classes * 2, images, classes, recipe=QUICK)
    with pytest.raises(ManifestError, match="validation images"):
        train_probe(images, classes, images[:0], classes[:0], recipe=QUICK)
    with pytest.raises(ValueError, match="uint8"):
        train_probe(images.astype(np.float32), classes, images, classes, recipe=QUICK)
