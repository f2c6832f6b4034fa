import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.data.manifest import LABELS
from cxrscreen.data.protocols import PATCH_CLASSES
from cxrscreen.systems.patch_voting.voting import CLASSES, class_probabilities, majority_vote


def test_the_majority_wins_against_one_sure_patch():
    found = majority_vote(np.array([[0.4, 0.35, 0.25], [0.4, 0.3, 0.3], [0.0, 0.0, 1.0]], np.float32))
    assert found.label == 0
    np.testing.assert_array_equal(found.counts, [2, 0, 1])
    np.testing.assert_allclose(found.probabilities, [0.8 / 3, 0.65 / 3, 1.55 / 3], atol=1e-6)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_tie_goes_to_the_larger_mean_probability(order):
    patches = np.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]], np.float32)[order]
    assert majority_vote(patches).label == 1


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_order_of_patches_does_not_matter(seed, count):
    rng = np.random.default_rng(seed)
    patches = rng.dirichlet(np.ones(4), count).astype(np.float32)
    found, other = majority_vote(patches), majority_vote(patches[rng.permutation(count)])
    assert found.label == other.label
    assert found.counts.sum() == count
    assert found.counts[found.label] == found.counts.max()
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_the_lead_is_that_over_the_next_class():
    found = majority_vote(np.array([[0.5, 0.3, 0.2]] * 5 + [[0.1, 0.8, 0.1]] * 3 + [[0.1, 0.3, 0.6]] * 2, np.float32))
    assert (found.label, found.second) == (0, 1)
    assert found.lead == pytest.approx(0.2)
    # A single view has no votes, but probabilities.
    assert majority_vote(np.array([[0.1, 0.9]], np.float32)).lead == pytest.approx(0.8)


def test_the_next_of_two_equal_classes_is_the_one_with_the_larger_mean_probability():
    found = majority_vote(np.array([[0.9, 0.1, 0.0]] * 2 + [[0.2, 0.7, 0.1], [0.1, 0.0, 0.9]], np.float32))
    assert found.second == 2


def test_probabilities_exclude_each_other():
    found = class_probabilities(np.array([[0, 0, np.log(2), 1000.0]], np.float32))
    np.testing.assert_allclose(found, [[0, 0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(class_probabilities(np.log([[1, 2, 5]])), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-6)


def test_every_label_with_a_class_is_one_of_the_manifests():
    labels = [label for own in PATCH_CLASSES.values() for label in own]
    assert set(labels) < set(LABELS)
    assert len(labels) == len(set(labels))
    assert tuple(PATCH_CLASSES) == CLASSES
