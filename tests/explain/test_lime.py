import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cxrscreen.explain.lime import LEAST, LimeExplanation, lime, samples_for, similarity, superpixels_of

GREY = np.random.default_rng(0).random((48, 48), np.float32) * 0.1
INSIDE = np.zeros((48, 48), bool)
INSIDE[8:40, 8:40] = True


def hidden(pixels):
    image = GREY.copy()
    image[16:24, 16:24] += 1.0
    image[30:36, 30:36] += 0.5
    image[pixels] = 0
    return image[None]


def shares(images):
    """Brightness of one square speaks for the second class, of another against it."""
    positive = (
        0.5 + 0.4 * images[:, 0, 16:24, 16:24].mean(axis=(1, 2)) - 0.4 * images[:, 0, 30:36, 30:36].mean(axis=(1, 2))
    )
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def grid():
    rows, columns = np.mgrid[:48, :48] // 8
    return np.where(INSIDE, (rows - 1) * 4 + columns, 0).astype(np.int64)


def test_what_speaks_for_and_against_is_found(grid):
    found = lime(grid, hidden, shares, 1, samples=300, seed=1)
    strongest = found.strongest(1)
    assert (strongest[16:24, 16:24] == 1).all()
    assert (strongest != 0).sum() == 64
    assert found.map()[32, 32] < 0
    assert found.fit > 0.9
    assert found.probability == pytest.approx(float(shares(hidden(np.zeros((48, 48), bool))[None])[0, 1]))
    other = lime(grid, hidden, shares, 0, samples=300, seed=1)
    np.testing.assert_allclose(other.weights, -found.weights, atol=1e-5)


def test_what_moved_nothing_is_not_shown(grid):
    still = lime(grid, hidden, lambda images: np.full((len(images), 2), 0.5, np.float32), 1, samples=60)
    assert not still.strongest(10).any()
    weights = np.zeros(grid.max(), np.float32)
    weights[:3] = LEAST, -LEAST, LEAST / 2
    faint = LimeExplanation(grid, weights, 1.0, 0.5)
    assert set(np.unique(faint.strongest(3)[INSIDE])) == {-1, 0, 1}
    assert (faint.strongest(3) != 0).sum() == 128


def test_a_slower_network_is_asked_less_often():
    assert [samples_for(work) for work in (0.1, 1.25, 2.0, 5.0, 100.0)] == [800, 800, 500, 200, 100]


def test_it_is_seeded_and_does_not_depend_on_batches(grid):
    steps = []
    first = lime(grid, hidden, shares, 1, samples=40, seed=3, batch=16, advance=steps.append)
    np.testing.assert_array_equal(first.weights, lime(grid, hidden, shares, 1, samples=40, seed=3, batch=7).weights)
    assert (first.weights != lime(grid, hidden, shares, 1, samples=40, seed=4).weights).any()
    assert steps == [16, 16, 8]


def test_nothing_outside_is_a_superpixel():
    found = superpixels_of(GREY, INSIDE, 20)
    assert (found[~INSIDE] == 0).all()
    assert (found[INSIDE] > 0).all()
    assert set(np.unique(found)) == set(range(found.max() + 1))
    assert 8 <= found.max() <= 40
    whole = superpixels_of(GREY, np.ones_like(INSIDE), 20)
    assert whole.min() == 1
    assert superpixels_of(GREY, np.zeros_like(INSIDE)).max() == 0


def test_an_image_without_superpixels_has_no_weights():
    nothing = lime(np.zeros((48, 48), np.int64), hidden, shares, 1, samples=4)
    assert nothing.weights.size == 0
    assert (nothing.map() == 0).all()
    with pytest.raises(ValueError, match="two samples"):
        lime(np.zeros((48, 48), np.int64), hidden, shares, 1, samples=1)


@given(arrays.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 9))))
def test_the_more_is_shown_the_nearer(shown):
    weights = similarity(shown)
    assert ((weights >= 0) & (weights <= 1)).all()
    order = np.argsort(shown.sum(axis=1), kind="stable")
    assert (np.diff(weights[order]) >= -1e-12).all()
    assert similarity(np.ones((1, 3), bool)) == pytest.approx([1.0])
