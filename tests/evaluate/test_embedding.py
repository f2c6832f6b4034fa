import numpy as np
import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.embedding import agreement_by_chance, embedding_figure, neighbour_agreement, project


@pytest.fixture(scope="module")
def clusters():
    """Two clusters of 30 images; each patient has two images, nearly the same."""
    rng = np.random.default_rng(0)
    names = np.repeat(["covid19", "other"], 30)
    patients = rng.normal(size=(30, 6)).repeat(2, axis=0) + 6.0 * (names == "covid19")[:, None]
    groups = [f"p{number // 2}" for number in range(60)]
    return patients + rng.normal(scale=0.01, size=(60, 6)), groups, names


def test_clusters_stay_apart_and_the_seed_decides(clusters):
    values, _, names = clusters
    layout = project(values, seed=1)
    assert layout.shape == (60, 2)
    assert layout.dtype == np.float32
    centres = [layout[names == name].mean(axis=0) for name in ("covid19", "other")]
    spread = max(layout[names == name].std() for name in ("covid19", "other"))
    assert np.linalg.norm(centres[0] - centres[1]) > spread
    np.testing.assert_array_equal(layout, project(values, seed=1))
    with pytest.raises(ValueError, match="at least 5 images"):
        project(values[:3])


def test_neighbours_are_other_patients(clusters):
    values, groups, names = clusters
    assert neighbour_agreement(values, groups, names).value == 1
    # Each patient is its own name: the other image of a patient must not count.
    assert neighbour_agreement(values, groups, groups).value == 0
    dealt = np.random.default_rng(1).permutation(names)
    found = neighbour_agreement(values, [str(n) for n in range(60)], dealt)
    assert found.ci_low < agreement_by_chance(names) == 0.5 < found.ci_high
    with pytest.raises(ValueError, match="two groups"):
        neighbour_agreement(values, ["p"] * 60, names)


def test_the_figure_has_a_panel_for_each_colouring(clusters, tmp_path):
    values, groups, names = clusters
    figure = embedding_figure(
        values[:, :2].astype(np.float32), [("Truth", names), ("Source", [g[-1] for g in groups])], "Embedding"
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Truth", "Source"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["covid19 (30)", "other (30)"]
    assert RESEARCH_USE in figure.get_supxlabel()
