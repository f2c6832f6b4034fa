"""The commands of this system, on the bundle and the work folder that the other tests use."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.app import app
from cxrscreen.systems.covid_cxnet.pipeline import NOT_APART
from cxrscreen.train.learning_rate_range import steepest

from .conftest import short_networks


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "300"})


def test_both_explanations_and_all_findings(bundle, phantom_data, tmp_path):
    file = phantom_data.image_file(phantom_data.table.index[0])
    given = ("--bundle", bundle.folder, "--class", "covid19", "--samples", 40, "--superpixels", 12, "--threads", 1)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    first = invoke("explain", file, *given, "--out", tmp_path / "a")
    second = invoke("explain", tmp_path / "broken.png", file, *given, "--out", tmp_path / "b")
    assert first.exit_code == 0, first.output
    # A file that cannot be read costs no other its explanation.
    assert second.exit_code == 1
    assert "1 of 2 explained" in second.output
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {f"{file.stem}-explanation.png", f"{file.stem}-explanation.svg", "findings.png"} <= names
    found, again = (json.loads((tmp_path / name / "explanations.json").read_text()) for name in ("a", "b"))
    # Seeded: the same command, the same explanation.
    assert found == again
    assert found["notice"] == RESEARCH_USE
    entry = found["images"][file.name]
    assert entry["class"] == "covid19"
    assert len(entry["findings"]) == 14
    assert found["chart"]["caution"] == NOT_APART
    assert 0.1 < entry["lungs_share_of_region"] < 0.9


@pytest.mark.parametrize(("arguments", "said"), [(("--class", "other_pneumonia"), "does not know the class")])
def test_a_class_that_the_bundle_does_not_know(bundle, phantom_data, tmp_path, arguments, said):
    file = phantom_data.image_file(phantom_data.table.index[0])
    done = invoke("explain", file, "--bundle", bundle.folder, "--out", tmp_path, *arguments)
    assert done.exit_code == 2
    assert said in done.output
    other = invoke("explain", file, "--bundle", "cascade", "--out", tmp_path)
    assert "is of another system" in other.output
    checked = invoke("explain", file, "--bundle", bundle.folder, "--system", "cascade", "--out", tmp_path)
    assert "is for the system covid_cxnet, not for cascade" in checked.output


def test_the_curves_of_a_training_are_drawn(trained_folder, tmp_path):
    done = invoke("learning-curves", trained_folder / "work", "--out", tmp_path / "c")
    assert done.exit_code == 0, done.output
    assert {"curves-classifier.png", "curves-findings.svg"} <= {path.name for path in (tmp_path / "c").iterdir()}
    empty = invoke("learning-curves", tmp_path / "c", "--out", tmp_path)
    assert empty.exit_code == 2
    assert "holds no curves of COVID-CXNet" in empty.output


def test_a_learning_rate_is_suggested(trained_folder, recipe_file, phantom_data, tmp_path):
    work = trained_folder / "work"
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
    with short_networks():
        done = invoke(
            "learning-rate", recipe_file, "--data", phantom_data.root, "--work", work, "--out", tmp_path / "r",
            "--steps", 10, "--from", 1e-6, "--to", 1e-2,
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "Begun from the kept state of phase1" in done.output
    found = json.loads((tmp_path / "r" / "learning-rate.json").read_text())
    # The suggestion is the rate at which the losses that are written beside it fall fastest.
    assert found["suggestion"] == pytest.approx(steepest(np.array(found["rates"]), np.array(found["losses"])))
    assert (tmp_path / "r" / "learning-rate.png").is_file()
    # What the training left is used and not touched.
    assert before == {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}


def test_a_range_test_begins_where_the_tested_phase_would(trained_folder, recipe, phantom_data, tmp_path):
    import shutil

    import torch

    from cxrscreen.errors import RecipeError
    from cxrscreen.systems.covid_cxnet.range_test import kept_start, range_of_rates

    assert kept_start(recipe, tmp_path) is None
    work = shutil.copytree(trained_folder / "work", tmp_path / "work")
    torch.save({"state_dict": {"network.other": torch.zeros(1)}}, work / "classifier" / "phase1" / "best.ckpt")
    assert kept_start(recipe, work) == work / "classifier" / "phase1"
    # A first phase has none before it.
    alone = recipe.classifier.model_copy(update={"phases": recipe.classifier.phases[1:]})
    assert kept_start(recipe.model_copy(update={"classifier": alone}), work) is None
    with short_networks(), pytest.raises(RecipeError, match="of another classifier"):
        range_of_rates(recipe, phantom_data, work, steps=8, lowest=1e-6, highest=1e-2)
    # Nothing is cut or pre-trained for rates that fall.
    for lowest, highest in ((1e-2, 1e-4), (1e-6, float("inf"))):
        with pytest.raises(RecipeError, match="rates that rise"):
            range_of_rates(recipe, phantom_data, tmp_path / "none", steps=8, lowest=lowest, highest=highest)
    assert not (tmp_path / "none").exists()
