"""Recording from the command line, and reading what was recorded, on a real store."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.cli.records import figure_text, headlines
from cxrscreen.train.loop import _LISTENERS

pytest.importorskip("mlflow", reason="records are an extra")
ESTIMATE = {"value": 0.9, "ci_low": 0.85, "ci_high": 0.94, "n": 40}


def invoke(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return done, " ".join(done.output.split())


@pytest.fixture
def trainer(monkeypatch):
    """A training of two epochs, which can be told to fail in the second."""
    told = SimpleNamespace(fails=False)

    def train(recipe, manifest, work, out):
        for epoch, score in enumerate((0.5, 0.75)):
            for listener in _LISTENERS.get():
                listener(work / "stage2" / "phase1", epoch, {"validation_score": score, "loss": 1.0})
            if told.fails:
                raise RuntimeError("pulled the plug")

    card = SimpleNamespace(
        bundle_id="any@1.0.0",
        files={"a.safetensors": "00"},
        stages={"pneumonia": SimpleNamespace(point=lambda: SimpleNamespace(threshold=0.25))},
        data=SimpleNamespace(images_sha256="ff", splits={"stage2": "ee"}),
        results={"stage2": {"pooled_auc": ESTIMATE, "failed": 0}},
    )
    monkeypatch.setattr("cxrscreen.systems.trainers.trainer_for", lambda *_: train)
    monkeypatch.setattr("cxrscreen.data.manifest.load_manifest", lambda data: "manifest")
    monkeypatch.setattr("cxrscreen.evaluate.card.measure_bundle", lambda *_: None)
    monkeypatch.setattr("cxrscreen.systems.bundle.open_bundle", lambda out: SimpleNamespace(card=card))
    return told


def test_from_a_training_to_the_list(trainer, tmp_path):
    recipe, store = tmp_path / "recipe.yaml", tmp_path / "records"
    recipe.write_text("system: cascade\nseed: 3\nstage2: {phases: [{epochs: 2}]}\n")
    train = ("train", recipe, "--data", tmp_path, "--out", tmp_path / "made", "--record", store)
    trainer.fails = True
    done, _ = invoke(*train)
    assert isinstance(done.exception, RuntimeError)
    trainer.fails = False
    assert invoke(*train)[0].exit_code == 0

    measured = tmp_path / "measured"
    measured.mkdir()
    content = {"bundle": "any@1.0.0", "protocol": {"protocol": "stage3", "part": "test", "seed": 0}}
    content |= {"results": {"pooled_auc": ESTIMATE}, "failures": [{"image_id": "patient-7"}]}
    (measured / "metrics.json").write_text(json.dumps(content))
    audited = tmp_path / "audited"
    audited.mkdir()
    stopped = {"name": "borders", "passed": None, "stopped": True, "finding": "Could not be run: patient-7.png."}
    audit = {"bundle": "any@1.0.0", "protocols": {"stage2": "ee"}}
    audit |= {"audits": [{"name": "black-lungs", "passed": False, "finding": "AUC 0.8"}, stopped]}
    (audited / "audit.json").write_text(json.dumps(audit))
    done, text = invoke("records", "add", store, measured, audited)
    assert done.exit_code == 0, text
    assert "measured: evaluation, recorded as" in text
    assert "measured: evaluation, was recorded before" in invoke("records", "add", store, measured)[1]

    done, text = invoke("records", "list", store)
    assert done.exit_code == 0, text
    assert text.count("any@1.0.0") == 3
    assert "finished" in text and "failed" not in text.partition("0 audits passed")[0]  # noqa: PT018
    assert "test/stage2/pooled_auc 0.900 (0.850 to 0.940)" in text
    assert "stage3/pooled_auc 0.900" in text
    assert "0 audits passed, 1 failed: black-lungs" in text
    assert "Not a medical device" in text

    run = json.loads((tmp_path / "made.work" / "record.json").read_text())["run"]
    done, text = invoke("records", "show", store, run[:12], "--settings")
    assert done.exit_code == 0, text
    assert "stage2/phase1 │ 2 │ 0.5000 │ 0.7500 │ 0.7500" in text
    assert "stage2.phases.0.epochs │ 2" in text
    assert "threshold/pneumonia │ 0.250" in text
    assert "bundle: any@1.0.0" in text
    assert "patient-7" not in text
    assert b"patient-7" not in (store / "records.db").read_bytes()
    done, text = invoke("records", "show", store, "zz")
    assert (done.exit_code, "No records begin with 'zz'" in text) == (2, True)
    assert invoke("records", "list", store, "--limit", "100000")[0].exit_code == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metrics.json", "{", "was not written by cxrscreen evaluate or audit"),
        ("audit.json", '{"bundle": "any@1.0.0"}', "was not written by"),
        ("notes.txt", "", "holds no metrics.json and no audit.json"),
    ],
)
def test_what_is_no_result_is_one_sentence(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    done, output = invoke("records", "add", tmp_path / "records", tmp_path)
    assert done.exit_code == 2
    assert words in output
    assert not (tmp_path / "records").exists()


def test_headlines():
    scores = {"stage2/phase1/validation_score": 0.71, "stage2/phase1/loss": 0.4}
    assert headlines(scores) == ["stage2/phase1/validation_score 0.7100"]
    figures = {"a/auc": 0.8, "a/auc/low": 0.7, "a/auc/high": 0.9, "a/accuracy": 0.6, "a/accuracy/low": 0.5}
    assert headlines(scores | figures) == ["a/auc 0.800 (0.700 to 0.900)"]
    assert headlines({"audit/a": 1.0, "audit/b": 1.0}) == ["2 audits passed, 0 failed"]
    assert figure_text({"threshold/a": 0.5}, "threshold/a") == "0.500"
