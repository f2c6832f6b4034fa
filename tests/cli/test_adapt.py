"""The command from its arguments to its files, with the training replaced by constructed outputs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from cxrscreen.cli.adapt import adapt
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.systems.bundle import Card, DataCard, OperatingPoint, StageCard, open_bundle, sha256_of, write_card
from cxrscreen.systems.cascade import adaptation
from cxrscreen.systems.cascade.adaptation import Adapted

STAGE = StageCard(operating_points={"half": OperatingPoint(threshold=0.5, rule="half", site="none")}, default="half")


@pytest.fixture
def bundle(tmp_path):
    """A bundle of files that no test opens as networks."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in ("lungs.safetensors", "pneumonia.safetensors", "covid19.safetensors"):
        (folder / name).write_bytes(name.encode())
    card = Card(
        name="cascade",
        version="1.1.0",
        system="cascade",
        created="2020-01-01",
        summary="",
        intended_use="",
        not_for=[],
        limits=[],
        licence="",
        preprocessing={},
        stages={"pneumonia": STAGE, "covid19": STAGE},
        data=DataCard(images_sha256="", splits={}, seed=0, images={}, licences=[]),
        recipe={},
        results={"lungs": {"dice": 1}, "stage2": {"auc": 1}, "stage3": {"auc": 1}},
        files={file.name: sha256_of(file) for file in folder.iterdir()},
    )
    return write_card(folder, card).folder


@pytest.fixture
def manifests(tmp_path):
    def write(name, labels, source):
        folder = tmp_path / name
        folder.mkdir()
        rows = []
        for i, label in enumerate(labels):
            Image.new("L", (8, 8)).save(folder / f"{i}.png")
            rows.append((f"{name}{i}", f"{i}.png", source, f"p{i}", label))
        table = pd.DataFrame(rows, columns=["image_id", "path", "source", "patient_id", "label"])
        table.to_csv(folder / "manifest.csv", index=False)
        return folder

    new = write("new", ["covid19"] * 24 + ["viral"] * 30, "there")
    return new, write("old", ["normal", "bacterial"] * 60, "here")


@pytest.fixture
def invoke(monkeypatch, bundle, manifests, tmp_path):
    asked = []

    def adapted(given, cohort, recipe, work):
        asked.append((recipe, cohort, work))
        split = cohort.splits["stage2"]
        held = [i for part in ("validation", "test") for i in split.part(part)]
        rows = cohort.manifest.table.loc[held, ["image_id", "source", "group", "label"]].reset_index(drop=True)
        rows["part"] = ["validation" if i in set(split.validation) else "test" for i in held]
        rows["new"] = cohort.is_new(held)
        ill, covid = rows["label"] != "normal", rows["label"] == "covid19"
        rng = np.random.default_rng(0)
        for when in ("before", "after"):
            rows[f"pneumonia_{when}"] = rng.normal(np.where(ill, 1.0, -1.0))
            rows[f"covid19_{when}"] = np.where(ill, rng.normal(np.where(covid, 1.0, -1.0)), np.nan)
        return Adapted({}, rows)

    monkeypatch.setattr(adaptation, "adapt", adapted)
    app = typer.Typer()
    app.command()(adapt)
    new, old = manifests
    fixed = [str(bundle), "--new", str(new), "--out", str(tmp_path / "out"), "--replicates", "100"]

    def run(*arguments, with_old=True):
        given = [*fixed, *(["--old", str(old)] if with_old else []), *(str(each) for each in arguments)]
        return CliRunner().invoke(app, given)

    return run, asked, tmp_path


def test_a_new_bundle_and_a_report(invoke):
    run, asked, folder = invoke
    done = run("--lambda", 3, "--seed", 5, "--cases", 4)
    assert done.exit_code == 0, done.exception
    recipe, cohort, work = asked[0]
    assert (recipe.distillation, recipe.seed, recipe.stage, recipe.with_old) == (3.0, 5, "both", True)
    assert cohort.cases == 4
    assert work == folder / "out.work"
    made = open_bundle(folder / "out")
    assert made.card.version.startswith("1.2.0+adapted.")
    for name in ("pneumonia", "covid19"):
        assert made.card.stages[name].default == "youden"
        assert "validation images of the adaptation" in made.card.stages[name].point().site
    assert set(made.card.results) == {"lungs", "stage2", "adaptation"}
    command = "cxrscreen adapt BUNDLE --new NEW --old OLD --lambda 3 --cases 4 --seed 5 --out OUT"
    assert made.card.results["adaptation"]["command"] == command
    assert {path.name for path in (folder / "out.report").iterdir()} == {
        "adaptation.json",
        "adaptation.md",
        "adaptation.png",
        "adaptation.svg",
    }
    content = json.loads((folder / "out.report" / "adaptation.json").read_text())
    assert content["after"] == made.card.bundle_id
    assert "Research use only" in done.output


def test_stage_3_alone_leaves_stage_2_as_it_was_and_needs_no_old_images(invoke):
    run, asked, folder = invoke
    done = run("--stage", 3, "--report", folder / "there", with_old=False)
    assert done.exit_code == 0, done.exception
    assert asked[0][0].stage == "3"
    made = open_bundle(folder / "out")
    assert made.card.stages["pneumonia"] == STAGE
    assert made.card.stages["covid19"].default == "youden"
    assert "Forgetting was not measured" in (folder / "there" / "adaptation.md").read_text()


def test_the_comparison_mode_learns_from_new_images_and_measures_old_ones(invoke):
    run, asked, folder = invoke
    done = run("--without-old")
    assert done.exit_code == 0, done.exception
    assert not asked[0][0].with_old
    page = (folder / "out.report" / "adaptation.md").read_text()
    assert "held-out old images" in page
    assert "--without-old" in page


def test_the_command_wins_over_the_recipe(invoke):
    run, asked, folder = invoke
    (folder / "settings.yaml").write_text("{distillation: 0.5, seed: 9, stage: '3'}")
    assert run("--recipe", folder / "settings.yaml", "--seed", 1).exit_code == 0
    recipe = asked[0][0]
    assert (recipe.distillation, recipe.seed, recipe.stage) == (0.5, 1, "3")


def test_mistakes_are_one_sentence_before_any_work(invoke):
    run, asked, folder = invoke
    for arguments, with_old, error, reason in (
        ((), False, ManifestError, "give them with --old"),
        (("--cases", 99), True, ManifestError, "99 cases were asked for"),
        (("--recipe", "nowhere.yaml"), True, RecipeError, "No recipe at nowhere.yaml"),
    ):
        done = run(*arguments, with_old=with_old)
        assert isinstance(done.exception, error)
        assert reason in str(done.exception)
    table = Path(folder / "new" / "manifest.csv")
    table.write_text(table.read_text().replace("covid19", "plague"))
    assert "has the label 'plague'" in str(run().exception)
    (folder / "out").mkdir()
    (folder / "out" / "mine.txt").touch()
    table.write_text(table.read_text().replace("plague", "covid19"))
    assert "not an empty folder" in str(run().exception)
    assert not asked
