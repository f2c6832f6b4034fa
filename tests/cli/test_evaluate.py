"""The command from its arguments to its files, on constructed pictures and a constructed system."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from cxrscreen.cli.evaluate import evaluate
from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import BundleError, CxrscreenError, ManifestError
from cxrscreen.systems.contract import Screening, Stage
from cxrscreen.systems.learned import images_digest

SIDE = 64


class MeanSystem:
    """Calls the mean grey value a probability and the left half of the image lung."""

    bundle_id = "mean@2"

    def screen(self, radiograph, *, force=False, explain=True):
        score = float(radiograph.pixels.mean())
        lungs = np.zeros(radiograph.shape, np.uint8)
        lungs[:, : SIDE // 2] = 1
        stages = (Stage("pneumonia", "Pneumonia against normal", score, 0.5, "youden"),)
        return Screening(stages, "normal", score, lungs, 0.5, (), "good", (), self.bundle_id)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, : SIDE // 4], mask[:, SIDE // 4 : SIDE // 2] = 1, 2
    Image.fromarray(mask, mode="L").save(folder / "mask.png")
    rows = []
    for i in range(120):
        label = ("normal", "tuberculosis")[i % 2]
        pixels = rng.integers(0, 180, (SIDE, SIDE)) + (75 if i % 2 else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        rows.append((f"s{i}", f"{i}.png", "shenzhen", f"p{i}", label, "mask.png", "human"))
    columns = ["image_id", "path", "source", "patient_id", "label", "lung_mask", "lung_mask_origin"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "manifest.csv", index=False)
    return folder


@pytest.fixture
def invoke(monkeypatch, pack):
    def load_system(bundle):
        if bundle != "mean":
            raise BundleError(f"There is no bundle {bundle}: train one.")
        return MeanSystem()

    manifest = load_manifest(pack)
    data = SimpleNamespace(
        splits={"stage2": make_split("stage2", manifest).digest},
        sources={},
        seed=0,
        images_sha256=images_digest(manifest),
    )
    card = SimpleNamespace(system="cascade", bundle_id="mean@2", data=data)
    monkeypatch.setattr("cxrscreen.systems.registry.load_system", load_system)
    monkeypatch.setattr("cxrscreen.systems.bundle.open_bundle", lambda bundle: SimpleNamespace(card=card))
    app = typer.Typer()
    app.command()(evaluate)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_decision(invoke, pack, tmp_path):
    done = invoke("mean", "--manifest", pack, "--protocol", "stage2", "--out", tmp_path, "--replicates", 100)
    assert done.exit_code == 0, done.exception
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["results"]["within"]["shenzhen"]["estimates"]["auc"]["value"] == 1.0
    assert metrics["protocol"]["part"] == "test"
    assert metrics["protocol"]["replicates"] == 100
    assert len(metrics["protocol"]["manifest_sha256"]) == 64
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json",
        "metrics.md",
        "scores.csv",
        *(f"{name}.{kind}" for name in ("roc", "reliability", "decision_curve") for kind in ("png", "svg")),
    }
    assert [row["prevalence"] for row in metrics["use"]["prevalence"]] == [0.01, 0.02, 0.05, 0.1, 0.2]
    assert metrics["use"]["decision_curve"]["replicates"] == 100
    page = (tmp_path / "metrics.md").read_text()
    assert all(heading in page for heading in ("Per 1000 persons", "Net benefit", "Reliability", "Confusion matrix"))
    assert "Research use only" in done.output


def test_images_of_another_hospital_are_asked_about_whatever_their_source(invoke, pack, tmp_path, monkeypatch):
    given = ("--protocol", "stage2", "--replicates", 100)
    card = SimpleNamespace(system="cascade", bundle_id="mean@2")
    for known, images in ((True, 0), (False, 12)):
        digest = images_digest(load_manifest(pack)) if known else "of other images"
        data = SimpleNamespace(splits={}, sources={"stage2": ["cohen"]}, seed=0, images_sha256=digest)
        card.data = data
        monkeypatch.setattr("cxrscreen.systems.bundle.open_bundle", lambda _: SimpleNamespace(card=card))
        done = invoke("mean", "--manifest", pack, *given, "--out", tmp_path / digest)
        if images:
            assert done.exit_code == 0, done.exception
            assert len(pd.read_csv(tmp_path / digest / "scores.csv")) == images
        else:
            # The images that taught the bundle are still asked about by its own split.
            assert "not of the sources asked for" in str(done.exception)


def test_a_site_without_a_target_is_a_mistake(invoke, pack, tmp_path):
    for given in (("--use",), ("--site", "Here")):
        done = invoke("mean", "--manifest", pack, "--protocol", "stage2", "--out", tmp_path, *given)
        assert done.exit_code == 2
        assert "operating point" in done.output
        assert "--target" in done.output


def test_lungs_of_the_validation_part(invoke, pack, tmp_path):
    arguments = ("--protocol", "lungs", "--part", "validation", "--out", tmp_path, "--replicates", 100)
    done = invoke("mean", "--manifest", pack / "manifest.csv", *arguments)
    assert done.exit_code == 0, done.exception
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["results"]["overall"]["dice"]["value"] == 1.0
    assert metrics["protocol"]["part"] == "validation"
    assert "Not the test part" in (tmp_path / "metrics.md").read_text()


def test_a_trial_says_that_it_is_one(invoke, pack, tmp_path):
    arguments = ("--protocol", "stage2", "--out", tmp_path, "--limit", 8, "--replicates", 100)
    done = invoke("mean", "--manifest", pack, *arguments)
    assert done.exit_code == 0, done.exception
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["images"]["requested"] == 8
    assert "A trial on 8 of" in (tmp_path / "metrics.md").read_text()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("mean", "manifest.csv", "stage9"), (ManifestError, "no protocol 'stage9'")),
        (("mean", "other.csv", "stage2"), (ManifestError, "No manifest at")),
        (("gone", "manifest.csv", "stage2"), (BundleError, "no bundle gone")),
        (("mean", "manifest.csv", "stage3"), (ManifestError, "of one class")),
    ],
)
def test_mistakes_are_one_sentence_and_leave_no_file(invoke, pack, tmp_path, given, expected):
    (bundle, manifest, protocol), (error, reason) = given, expected
    done = invoke(bundle, "--manifest", pack / manifest, "--protocol", protocol, "--out", tmp_path / "out")
    assert isinstance(done.exception, error)
    assert reason in str(done.exception)
    assert list((tmp_path / "out").glob("*")) == []


def test_an_output_that_is_a_file_is_refused_before_screening(invoke, pack, tmp_path):
    (tmp_path / "out").write_text("taken")
    done = invoke("mean", "--manifest", pack, "--protocol", "stage2", "--out", tmp_path / "out")
    assert "cannot be written" in str(done.exception)
    assert (tmp_path / "out").read_text() == "taken"


def test_an_unknown_part_is_refused(invoke, pack, tmp_path):
    done = invoke("mean", "--manifest", pack, "--protocol", "stage2", "--part", "train", "--out", tmp_path)
    assert done.exit_code == 2


def test_another_split_than_that_of_the_training_is_told(invoke, pack, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        arguments = ("--protocol", "stage2", "--out", tmp_path / name, "--replicates", 100, "--seed", seed)
        assert invoke("mean", "--manifest", pack, *arguments).exit_code == 0
    warning = "Not the split that the bundle's card names"
    assert warning not in (tmp_path / "same" / "metrics.md").read_text()
    assert warning in (tmp_path / "other" / "metrics.md").read_text()
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("same", "other")]
    assert [m["protocol"]["split_of_training"] for m in metrics] == [True, False]


def test_a_failed_image_is_named_and_told_by_the_exit_code(invoke, pack, tmp_path):
    folder = shutil.copytree(pack, tmp_path / "pack")
    for i in range(0, 120, 3):
        (folder / f"{i}.png").write_bytes(b"no picture")
    done = invoke("mean", "--manifest", folder, "--protocol", "stage2", "--out", tmp_path / "out", "--replicates", 100)
    assert done.exit_code == 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["images"]["failed"] == len(metrics["failures"]) > 0
    assert str(tmp_path) not in (tmp_path / "out" / "metrics.json").read_text()


def test_operating_points_of_a_site_are_chosen_on_validation_and_stored(invoke, pack, tmp_path, monkeypatch):
    asked = []

    def store(name, run, rules, site, *, use):
        asked.append((name, run.rows["truth"].nunique(), rules, site, use))
        points = {"sensitivity-0.95 Here": SimpleNamespace(threshold=0.25), "youden": SimpleNamespace(threshold=0.5)}
        stages = {"pneumonia": SimpleNamespace(operating_points=points)}
        return SimpleNamespace(card=SimpleNamespace(stages=stages))

    monkeypatch.setattr("cxrscreen.evaluate.card.add_operating_points", store)
    monkeypatch.setattr("cxrscreen.evaluate.outputs.write_roc", lambda *_: ())
    monkeypatch.setattr("cxrscreen.evaluate.outputs.write_use", lambda *_: ())
    common = ("mean", "--manifest", pack, "--protocol", "stage2", "--out", tmp_path, "--replicates", 100)
    done = invoke(*common, "--part", "validation", "--target", "sensitivity>=0.95", "--site", "Here", "--use")
    assert done.exit_code == 0, done.exception
    assert asked == [("mean", 2, ["sensitivity>=0.95"], "Here", True)]
    assert "sensitivity-0.95 Here, positive at 0.2500" in " ".join(done.output.split())
    for wrong in (("--target", "youden"), ("--part", "validation", "--target", "best")):
        assert invoke(*common, *wrong).exit_code == 2
    for wrong, sentence in (("--limit=3", "on the whole part"), ("--seed=1", "learned from these images")):
        refused = invoke(*common, "--part", "validation", "--target", "youden", wrong)
        assert isinstance(refused.exception, CxrscreenError)
        assert sentence in str(refused.exception)
    assert len(asked) == 1
    own = shutil.copytree(pack, tmp_path / "own")
    text = (own / "manifest.csv").read_text().replace("shenzhen", "montgomery")
    (own / "manifest.csv").write_text(text)
    done = invoke(*common[:2], own, *common[3:], "--part", "validation", "--target", "youden", "--seed", 1)
    assert done.exit_code == 0, done.exception
    assert len(asked) == 2
