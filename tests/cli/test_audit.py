"""The command from its arguments to its files, on constructed pictures and a constructed system."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.app import app
from cxrscreen.errors import CxrscreenError
from cxrscreen.systems.contract import Screening, Stage

SIDE = 64
LUNGS = np.zeros((SIDE, SIDE), np.uint8)
LUNGS[18:46, 12:28], LUNGS[18:46, 36:52] = 1, 2

CARD = {
    "format": 1,
    "name": "mean",
    "version": "2",
    "system": "cascade",
    "created": "2026-01-01",
    "summary": "Means.",
    "intended_use": "Tests.",
    "not_for": [],
    "limits": [],
    "licence": "none",
    "preprocessing": {},
    "stages": {
        "pneumonia": {
            "operating_points": {"youden": {"threshold": 0.5, "rule": "youden", "site": "none"}},
            "default": "youden",
        }
    },
    "data": {"images_sha256": "0", "splits": {}, "seed": 0, "images": {}, "licences": []},
    "recipe": {},
    "files": {},
}


class MeanSystem:
    bundle_id = "mean@2"

    def screen(self, radiograph, *, force=False, explain=True):
        score = float(radiograph.pixels[LUNGS > 0].mean())
        stages = (Stage("pneumonia", "Pneumonia against normal", score, 0.5, "youden"),)
        return Screening(stages, "normal", score, LUNGS, 0.5, (), "good", (), self.bundle_id)


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(120):
        pixels = rng.integers(0, 180, (SIDE, SIDE)) + (75 if i % 2 else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{i}.png")
        rows.append((f"s{i}", f"{i}.png", "shenzhen", f"p{i}", ("normal", "tuberculosis")[i % 2]))
    columns = ["image_id", "path", "source", "patient_id", "label"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "manifest.csv", index=False)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "card.yaml").write_text(yaml.safe_dump(CARD))
    monkeypatch.setattr("cxrscreen.systems.registry.load_system", lambda bundle: MeanSystem())
    return ["audit", str(bundle), "--manifest", str(tmp_path), "--protocol", "stage2", "--replicates", "100"]


def test_an_audit_writes_its_page(arguments, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, [*arguments, "--out", str(out), "--only", "black-lungs", "--limit", "8"])
    assert done.exit_code == 0, done.output
    content = json.loads((out / "audit.json").read_text())
    assert [part["name"] for part in content["audits"]] == ["black-lungs"]
    assert content["images"] == {"screened": 8, "failed": 0}
    assert "A trial on 8 of 12 test images" in (out / "audit.html").read_text()
    assert len(pd.read_csv(out / "scores.csv")) == 8
    assert (out / "figures" / "black-lungs.svg").is_file()
    assert "no verdict" in done.stdout
    assert RESEARCH_USE in done.stdout


def test_an_unknown_audit_is_one_sentence(arguments, tmp_path):
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out"), "--only", "shadow"])
    assert done.exit_code == 2
    assert "There is no audit 'shadow'" in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_decision_that_the_bundle_does_not_make_is_refused_before_screening(arguments, tmp_path):
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out"), "--protocol", "stage3"])
    assert done.exit_code == 2
    assert "The bundle mean@2 does not decide covid19: leave out stage3." in " ".join(done.output.split())


def test_an_audit_that_cannot_be_run_is_told_by_the_exit_code(arguments, tmp_path, monkeypatch):
    def refuse(data):
        raise CxrscreenError("There is nothing to ask: give images.")

    monkeypatch.setattr("cxrscreen.evaluate.audit.regions.audit_black_lungs", refuse)
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out"), "--only", "black-lungs"])
    assert done.exit_code == 1
    assert "Could not be run: black-lungs." in done.output
    assert "There is nothing to ask" in (tmp_path / "out" / "audit.html").read_text()
