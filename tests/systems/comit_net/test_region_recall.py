"""The region's score is moved by as much as finds the asked share, and nothing else moves."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cxrscreen.systems.comit_net.images import ComitImages, ImageTable
from cxrscreen.systems.comit_net.networks import comit_network
from cxrscreen.systems.comit_net.region_recall import (
    HEAD_BIAS,
    RegionMove,
    offset_between,
    offset_for,
    with_region_recall,
)
from cxrscreen.systems.comit_net.splits import Labelled

SIDE = 64
MARGINS = arrays(np.float32, st.integers(1, 30), elements=st.floats(-20, 20, width=32))


@given(st.lists(MARGINS, min_size=1, max_size=5), st.floats(0.01, 0.99))
def test_the_offset_is_the_smallest_that_finds_enough(margins, recall):
    offset = np.float32(offset_for(margins, recall))
    assert np.mean([(own >= -offset).mean() for own in margins]) >= recall
    less = np.nextafter(offset, np.float32(-np.inf))
    assert np.mean([(own >= -less).mean() for own in margins]) < recall


@pytest.fixture
def images():
    nan = np.float32(np.nan)
    arrays_ = np.zeros((3, 3, SIDE, SIDE), np.uint8)
    arrays_[:, 0] = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE))
    arrays_[0, 2, 20:40, 10:30] = 1
    arrays_[1, 2, 5:12, 40:60] = 1
    labelled = Labelled(
        image_ids=("a", "b", "c"),
        lungs=np.zeros(3, bool),
        region=np.ones(3, bool),
        health=np.array([1, 1, 0], np.float32),
        diagnosis=np.full((3, 2), nan, np.float32),
        diseased=np.array([True, True, False]),
        covid19=np.zeros(3, bool),
    )
    return ComitImages(ImageTable(arrays_, {"a": 0, "b": 1, "c": 2}), labelled, np.zeros(3, np.int64), None)


@pytest.mark.parametrize("mirrored", [False, True])
def test_half_finds_the_asked_share_of_the_regions_afterwards(recipe, images, mirrored):
    torch.manual_seed(0)
    network = comit_network(recipe)
    # Of random weights all places have nearly the same logits, which rounding would not tell apart.
    network.disease.head.weight.data *= 1e4
    before = {name: values.clone() for name, values in network.state_dict().items()}
    state = with_region_recall(network, images, 0.8, mirrored=mirrored)
    assert {name for name, values in state.items() if not torch.equal(values, before[name])} == {HEAD_BIAS}
    assert float((state[HEAD_BIAS] - before[HEAD_BIAS]).sum()) == pytest.approx(0, abs=1e-6)
    network.load_state_dict(state)
    found = []
    with torch.no_grad():
        for index in (0, 1):
            image, _, region, *_ = images[index]
            logits = network(image[None]).disease[0]
            if mirrored:
                logits = (logits + network(image.flip(-1)[None]).disease[0].flip(-1)) / 2
            found.append(float((logits.softmax(dim=0)[1] >= 0.5)[region == 1].float().mean()))
    # One place more or less, by rounding.
    assert np.mean(found) == pytest.approx(0.8, abs=0.01)


def test_without_a_region_to_move_by_it_stays(recipe, images):
    images.labelled.diseased[:] = False
    network = comit_network(recipe)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    state = with_region_recall(network, images, 0.8, mirrored=False)
    assert offset_between(before, state) == 0
    assert "moved nothing" in RegionMove(0.8, images=0).words


def test_a_training_moves_the_score_and_keeps_the_rest(recipe, phantom_data, trained_folder):
    from cxrscreen.systems.comit_net.training import train_comit_net

    asked = recipe.model_copy(update={"region_recall": 0.9})
    trained = train_comit_net(asked, phantom_data, trained_folder / "work")
    moved, plain = trained.network, train_comit_net(recipe, phantom_data, trained_folder / "work").network
    assert trained.moved == RegionMove(0.9, images=2, offset=offset_between(plain, moved))
    assert "90% of the known regions of 2 validation images" in trained.moved.words
    assert {name for name, values in plain.items() if not torch.equal(values, moved[name])} == {HEAD_BIAS}


def test_the_card_says_what_half_stood_for():
    assert "that was the score 0.5." in RegionMove(0.9, images=3).words
    # Added to the logit, so that less was enough.
    assert "that was the score 0.018." in RegionMove(0.9, images=3, offset=4.0).words


def test_a_recipe_that_draws_no_region_cannot_move_it(recipe):
    content = recipe.model_dump() | {"tasks": ("health",), "region_recall": 0.9}
    with pytest.raises(ValueError, match="name disease in tasks"):
        type(recipe).model_validate(content)
