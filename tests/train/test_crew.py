import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.errors import RecipeError
from cxrscreen.train.crew import Crew, batch_share, crew_for, crew_here, placed
from cxrscreen.train.recipe import Compute

TORCHRUN = {
    "WORLD_SIZE": "6",
    "RANK": "0",
    "LOCAL_WORLD_SIZE": "3",
    "LOCAL_RANK": "0",
    "GROUP_RANK": "0",
    "TORCHELASTIC_RUN_ID": "x",
}


@pytest.fixture
def torchrun(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_process_that_nobody_launched_is_alone():
    assert crew_here({}) == Crew()
    assert crew_for(Compute()) == Crew()
    assert crew_for(Compute(devices=4)) == Crew(size=4, local_size=4)


def test_under_torchrun_the_crew_is_what_torchrun_started(torchrun):
    crew = crew_for(Compute())
    assert (crew.size, crew.nodes, crew.launched) == (6, 2, True)
    assert crew_for(Compute(devices=3, nodes=2)) == crew
    with pytest.raises(RecipeError, match="asks for 1 x 6 processes and torchrun started 2 x 3"):
        crew_for(Compute(devices=6))
    torchrun.setenv("RANK", "4")
    with pytest.raises(RecipeError, match="`cxrscreen train` alone"):
        crew_for(Compute())


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_place_survives_the_environment(local, nodes, data):
    node, rank = data.draw(st.integers(0, nodes - 1)), data.draw(st.integers(0, local - 1))
    crew = Crew(local * nodes, node * local + rank, local, rank, node)
    assert crew_here(crew.environment()) == crew
    assert crew.nodes == nodes


def test_the_environment_is_given_back(monkeypatch):
    monkeypatch.setenv("RANK", "7")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with placed(Crew(2, local_size=2)):
        assert (os.environ["RANK"], os.environ["WORLD_SIZE"]) == ("0", "2")
    assert os.environ["RANK"] == "7"
    assert "WORLD_SIZE" not in os.environ


@given(st.integers(1, 200), st.integers(1, 16))
def test_a_batch_is_shared_out_evenly_or_refused(batch, size):
    if batch % size:
        with pytest.raises(RecipeError, match="cannot be shared out evenly"):
            batch_share(batch, size)
    else:
        assert batch_share(batch, size) * size == batch


def test_one_process_is_not_told_of_in_what_is_kept_of_a_recipe():
    assert Compute().model_dump() == {"precision": "bf16-mixed", "accelerator": "auto", "threads": None}
    several = Compute(devices=8, nodes=2)
    assert Compute.model_validate(several.model_dump(mode="json")) == several
