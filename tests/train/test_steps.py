import pytest

from cxrscreen.errors import RecipeError
from cxrscreen.train import steps
from cxrscreen.train.steps import once


def test_a_step_is_done_once(tmp_path):
    file, calls = tmp_path / "step" / "result.txt", []

    def make(part):
        calls.append(part)
        part.write_text("made")

    first = once(file, {"seed": 0}, make)
    assert once(file, {"seed": 0}, make) == first
    assert len(calls) == 1
    assert file.read_text() == "made"


def test_a_step_of_other_things_is_not_reused_finished_or_begun(tmp_path):
    file = tmp_path / "step" / "result.txt"

    def stopped(part):
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        once(file, {"seed": 0}, stopped)
    assert not file.exists()
    with pytest.raises(RecipeError, match="step/result.txt of another recipe"):
        once(file, {"seed": 1}, lambda part: part.write_text("other"))
    once(file, {"seed": 0}, lambda part: part.write_text("whole"))
    assert file.read_text() == "whole"
    with pytest.raises(RecipeError):
        once(file, {"seed": 1}, lambda part: part.write_text("other"))


def test_a_step_of_an_earlier_generation_is_not_reused(tmp_path, monkeypatch):
    file = tmp_path / "step" / "result.txt"
    monkeypatch.setattr(steps, "GENERATION", steps.GENERATION - 1)
    once(file, {"seed": 0}, lambda part: part.write_text("lagging"))
    monkeypatch.undo()
    with pytest.raises(RecipeError, match="earlier version of the training"):
        once(file, {"seed": 0}, lambda part: part.write_text("mended"))
    assert file.read_text() == "lagging"
