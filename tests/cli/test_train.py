"""The command from a recipe to a measured bundle; what trains and measures is stood in for."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.errors import RecipeError


@pytest.fixture
def called(monkeypatch):
    steps = []

    def trainer_for(recipe, system):
        if system == "oracle":
            raise RecipeError("The recipe recipe.yaml is for the system cascade, not for oracle: give another one.")
        return lambda recipe, manifest, work, out: steps.append(("train", recipe.name, work.name, out.name))

    monkeypatch.setattr("cxrscreen.systems.trainers.trainer_for", trainer_for)
    monkeypatch.setattr("cxrscreen.data.manifest.load_manifest", lambda data: "manifest")
    monkeypatch.setattr("cxrscreen.evaluate.card.measure_bundle", lambda out, *_: steps.append(("measure", out.name)))
    card = SimpleNamespace(bundle_id="any@1.0.0")
    monkeypatch.setattr("cxrscreen.systems.bundle.open_bundle", lambda out: SimpleNamespace(card=card))
    return steps


def test_any_system_is_trained_and_then_measured(called, tmp_path):
    arguments = ["train", "recipe.yaml", "--data", str(tmp_path), "--out", str(tmp_path / "made")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert called == [("train", "recipe.yaml", "made.work", "made"), ("measure", "made")]
    assert "any@1.0.0 written to" in done.stderr
    assert CliRunner().invoke(app, [*arguments, "--no-measure", "--work", str(tmp_path / "kept")]).exit_code == 0
    assert called[2:] == [("train", "recipe.yaml", "kept", "made")]


def test_a_recipe_of_another_system_is_one_sentence(called, tmp_path):
    arguments = ["train", "recipe.yaml", "--data", str(tmp_path), "--out", str(tmp_path / "made")]
    done = CliRunner().invoke(app, [*arguments, "--system", "oracle"])
    assert done.exit_code == 2
    assert "not for oracle" in " ".join(done.stderr.split())
    assert called == []
