"""The command: which images it explains, how it names them, and what is left when a picture cannot be written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.data.findings import FINDINGS
from cxrscreen.explain.lime import LimeExplanation
from cxrscreen.systems.contract import Concern, Screening, Stage, Verdict
from cxrscreen.systems.covid_cxnet.explanation import Explanation
from cxrscreen.systems.covid_cxnet.pipeline import CovidCxNet


class PromptSystem(CovidCxNet):
    """Refuses ``side...``, doubts ``child...``, and has no network."""

    bundle_id, classes, work, tells_findings = "covid_cxnet@test", ("normal", "covid19"), 0.4, True
    chart_source, chart_caution = "it", ""

    def __init__(self):
        self.policies = []

    def screen(self, radiograph, *, force=False, explain=True, policy="standard"):
        self.policies.append(policy)
        name, concerns = radiograph.provenance.path.name, ()
        if name.startswith("side"):
            severity = "warn" if policy == "off" else "refuse"
            concerns = (Concern("lateral", "This is a lateral view.", severity),)
        if name.startswith("child"):
            concerns = (Concern("child", "This is a child.", "refuse" if policy == "strict" else "warn"),)
        verdict, mask = Verdict(policy, concerns), np.zeros(radiograph.shape, np.uint8)
        answer = (None, None, None) if verdict.refused else (0.2, "normal", 0.2)
        stages = (Stage("covid19_against_normal", "COVID-19", answer[0], 0.5, "youden"),)
        said = verdict.sentences
        return Screening(stages, *answer[1:], mask, 0.1, (), "limited", said, self.bundle_id, {}, verdict)

    def finding_probabilities(self, radiograph):
        return dict.fromkeys(FINDINGS, 0.2)


@pytest.fixture
def system():
    return PromptSystem()


@pytest.fixture
def explain(monkeypatch, tmp_path, system):
    def answered(system, radiograph, finding, **settings):
        grey = np.full((16, 16), 0.5, np.float32)
        found = LimeExplanation(np.ones((16, 16), np.int64), np.full(1, 0.3, np.float32), 0.5, 0.7)
        return Explanation("normal", grey, np.ones((16, 16), np.uint8), grey, found, 1.0, 1.0)

    monkeypatch.setattr("cxrscreen.systems.registry.load_system", lambda *given: system)
    monkeypatch.setattr("cxrscreen.systems.covid_cxnet.explanation.explain", answered)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        for name in arguments:
            if not Path(name).exists() and not name.startswith("-"):
                # PNG whatever the name says: names are not looked at.
                Image.fromarray(np.arange(6400, dtype=np.uint8).reshape(80, 80)).save(name, "PNG")
        return CliRunner().invoke(app, ["explain", *arguments, "--out", "out"], env={"COLUMNS": "300"})

    return run


def explained(tmp_path):
    return json.loads((tmp_path / "out" / "explanations.json").read_text())["images"]


def test_an_image_that_the_gate_refuses_is_not_explained(explain, tmp_path):
    done = explain("side.png", "a.png")
    assert done.exit_code == 1
    assert "side.png is refused (lateral): This is a lateral view." in done.output
    assert "1 of 2 explained" in done.output
    assert list(explained(tmp_path)) == ["a.png"]
    assert not list((tmp_path / "out").glob("side*"))


def test_what_the_gate_doubts_is_told(explain, tmp_path, system):
    assert explain("child.png", "a.png").exit_code == 0
    doubt = {"code": "child", "severity": "warn", "sentence": "This is a child."}
    assert {name: entry["concerns"] for name, entry in explained(tmp_path).items()} == {
        "child.png": [doubt],
        "a.png": [],
    }
    assert "This is a child." in (tmp_path / "out" / "child-explanation.svg").read_text()
    assert system.policies == ["standard", "standard"]


def test_the_policy_of_the_gate_is_chosen(explain, tmp_path):
    Image.fromarray(np.arange(6400, dtype=np.uint8).reshape(80, 80)).save("side.png")
    arguments = ["explain", "side.png", "--gate", "off", "--out", "out"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert explained(tmp_path)["side.png"]["concerns"][0]["severity"] == "warn"
    assert json.loads((tmp_path / "out" / "explanations.json").read_text())["gate"] == "off"


def test_any_file_name_is_taken(explain, tmp_path):
    names = ["x$\\y$.png", os.fsdecode(b"M\xfcller.png"), "_a.png", "1.2.840.113.1", "1.2.840.113.2"]
    done = explain(*names)
    assert done.exit_code == 0, done.output
    stems = ("x$_y$", "M_ller", "_a", "1.2.840.113.1", "1.2.840.113.2")
    assert all((tmp_path / "out" / f"{stem}-explanation.png").is_file() for stem in stems)
    assert set(explained(tmp_path)) == {"x$\\y$.png", "M\\xfcller.png", "_a.png", "1.2.840.113.1", "1.2.840.113.2"}
    assert "_a.png" in "".join(file.read_text() for file in (tmp_path / "out").glob("findings-*.svg"))


@pytest.mark.parametrize("name", ["a-explanation.png", "findings.svg"])
def test_a_picture_that_cannot_be_written_loses_no_result(explain, tmp_path, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    done = explain("a.png", "b.png")
    assert done.exit_code == 1
    assert "could not be written (Is a directory)" in done.output
    assert list(explained(tmp_path)) == ["a.png", "b.png"]


def test_two_files_of_one_name_are_one_sentence(explain, tmp_path):
    Path("x").mkdir()
    done = explain("a.png", "x/a.png")
    assert done.exit_code == 2
    assert "Two files are called a, and one picture would write over the other: rename one." in done.output
