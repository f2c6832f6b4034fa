"""The command on phantoms, and its mistakes in one sentence."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.app import app
from cxrscreen.data.phantoms import write_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"), 6, seed=5, size=160, dicom_every=0).parent


@pytest.fixture
def invoke(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    return lambda *arguments: CliRunner().invoke(app, ["biomarkers", "--replicates", "100", *map(str, arguments)])


def test_phantoms_with_their_masks(invoke, folder, tmp_path, monkeypatch):
    # The figures have their own tests, and take most of the time.
    monkeypatch.setattr("cxrscreen.biomarkers.report._write_figures", lambda *_: {})
    done = invoke(folder, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "6 radiographs of" in done.output
    assert RESEARCH_USE in done.output
    assert len(pd.read_csv(tmp_path / "out" / "biomarkers.csv")) == 6
    content = json.loads((tmp_path / "out" / "biomarkers.json").read_text())
    assert content["command"] == "cxrscreen biomarkers MANIFEST --out DIR --replicates 100"
    assert content["replicates"] == 100
    assert "--out DIR --replicates 100" in (tmp_path / "out" / "biomarkers.html").read_text()
    assert (tmp_path / "out" / "biomarkers.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), ""),
        (("--replicates", 2000, "--seed", 0), ""),
        (("--replicates", 100), " --replicates 100"),
        (("--limit", 5, "--replicates", 300, "--seed", 1), " --limit 5 --seed 1 --replicates 300"),
    ],
)
def test_the_printed_command_names_the_options_that_are_not_the_default(
    folder, tmp_path, monkeypatch, arguments, options
):
    written = {}
    monkeypatch.setattr("cxrscreen.biomarkers.study.run_study", lambda *_, **__: SimpleNamespace(failures=()))
    monkeypatch.setattr("cxrscreen.biomarkers.analysis.analyse", lambda *_: None)
    monkeypatch.setattr("cxrscreen.biomarkers.report.findings", lambda *_: ())
    monkeypatch.setattr("cxrscreen.biomarkers.report.write_report", lambda *_, **given: written.update(given) or {})
    done = CliRunner().invoke(app, ["biomarkers", str(folder), "--out", str(tmp_path / "out"), *map(str, arguments)])
    assert done.exit_code == 0, done.output
    assert written["command"] == f"cxrscreen biomarkers MANIFEST --out DIR{options}"


def test_a_mask_that_is_gone_is_a_failure(invoke, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("cxrscreen.biomarkers.report.write_report", lambda *_, **__: {})
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    table.loc[0, "lung_mask"] = "masks/gone.png"
    table.to_csv(folder / "broken.csv", index=False)
    done = invoke(folder / "broken.csv", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "1 images failed" in done.output
    assert "5 radiographs of" in done.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("gone",), "No manifest at"),
        (("{folder}", "--everywhere"), "name one with --bundle"),
        (("{folder}", "--bundle", "nothing-of-this-name"), "nothing-of-this-name"),
    ],
)
def test_a_mistake_is_one_sentence(invoke, folder, tmp_path, arguments, reason):
    done = invoke(*(item.format(folder=folder) for item in arguments), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert reason in done.output
    assert "Traceback" not in done.output
    assert done.output.strip().count("\n") == 0
