"""Curves that a training wrote down."""

import pandas as pd
import pytest

from cxrscreen.errors import RecipeError
from cxrscreen.evaluate.reproduce.covid_cxnet import curves as curves_module
from cxrscreen.evaluate.reproduce.covid_cxnet.curves import DRAWN, curves_figure, read_curves, write_curves
from cxrscreen.evaluate.reproduce.covid_cxnet.run import reproduce_covid_cxnet


def write_phase(folder, name, scores, file="metrics.csv", first=0):
    """As Lightning writes them: training and validation in rows of their own."""
    rows = []
    for number, score in enumerate(scores, start=first):
        rows.append({"epoch": number, "epoch_loss": 1 - score, "train_accuracy": score})
        rows.append({"epoch": number, "validation_score": score, "accuracy": score, "auc": score, "lung_share": 0.5,
                     "validation_loss": 1.1 - score})  # fmt: skip
    (folder / name).mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / name / file, index=False)


def test_phases_and_stops_are_joined(tmp_path):
    write_phase(tmp_path, "phase1", [0.5])
    write_phase(tmp_path, "phase2", [0.6, 0.1], "metrics-1.csv")
    write_phase(tmp_path, "phase2", [0.8, 0.7], first=1)
    curves = read_curves(tmp_path)
    assert list(curves["phase"]) == ["phase1", "phase2", "phase2", "phase2"]
    # The second epoch of the second phase was stopped and run again.
    assert list(curves["validation_score"]) == [0.5, 0.6, 0.8, 0.7]
    axes = curves_figure(curves, "title").axes
    assert [each.get_title(loc="left") for each in axes] == ["Loss", "Accuracy", "AUC and lungs"]
    dots = [line.get_xdata() for line in axes[0].lines if line.get_marker() == "o"]
    assert list(dots[0]) == [1, 3]


def test_an_epoch_that_was_not_finished_is_left_out(tmp_path):
    write_phase(tmp_path, "phase1", [0.5, 0.6])
    file = tmp_path / "phase1" / "metrics.csv"
    file.write_text("".join(file.read_text("utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    assert list(read_curves(tmp_path)["validation_score"]) == [0.5]
    (tmp_path / "phase2").mkdir()
    pd.DataFrame({"epoch": [0], "epoch_loss": [0.7]}).to_csv(tmp_path / "phase2" / "metrics.csv", index=False)
    assert list(read_curves(tmp_path)["phase"]) == ["phase1"]


def test_a_pre_training_has_one_area(tmp_path):
    (tmp_path / "phase1").mkdir()
    rows = {"epoch": [0, 1], "epoch_loss": [0.7, 0.6], "validation_score": [0.5, 0.7]}
    pd.DataFrame(rows).to_csv(tmp_path / "phase1" / "metrics.csv", index=False)
    axes = curves_figure(read_curves(tmp_path), "title").axes
    assert [each.get_title(loc="left") for each in axes] == ["Loss", "AUC and lungs"]
    assert axes[1].get_legend().get_texts()[0].get_text() == "mean AUC over findings, validation"


def test_a_work_folder_is_drawn(tmp_path):
    write_phase(tmp_path / "work" / "classifier", "phase1", [0.5, 0.6])
    files = write_curves(tmp_path / "work", "title", tmp_path)
    assert set(files) == {"classifier"}
    assert all(path.is_file() for path in files["classifier"])
    with pytest.raises(RecipeError, match="holds no curves of COVID-CXNet"):
        write_curves(tmp_path, "title", tmp_path)


def test_the_models_curves_are_a_page(finished, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(curves_module, "DRAWN", DRAWN[3:4])
    for name in DRAWN[3:4]:
        write_phase(finished.work / "trainings" / name / "classifier", "phase1", [0.5, 0.75, 0.7])
    files = reproduce_covid_cxnet("training-curves", recipe, finished.work, tmp_path)
    assert "covid-cxnet-training-curves-own.png" in files
    page = files["covid-cxnet-training-curves.md"].read_text("utf-8")
    assert "| COVID-CXNet v2, the lungs alone | 3 | 2 | 0.250 | 0.350 | 0.750 | 0.750 | 0.750 | 0.500 |" in page
