"""The command on lists of scores: page, files, thresholds from other images, and its mistakes in one sentence."""

import json

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app

HEAD = "image_id,group,truth,score\n"
SCORES = [(1, 0.9), (1, 0.7), (1, 0.35), (0, 0.6), (0, 0.3), (0, 0.2), (0, 0.1), (1, 0.8)]


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    rows = [f"i{i},g{i},{truth},{score}" for i, (truth, score) in enumerate(SCORES)]
    (tmp_path / "a.csv").write_text(HEAD + "\n".join(rows))
    (tmp_path / "b.csv").write_text(HEAD + "\n".join(reversed(rows)).replace("0.35", "0.65"))
    (tmp_path / "c.csv").write_text("truth,p_a,p_b\na,0.9,0.1\nb,0.2,0.8\na,0.4,0.6\nb,0.3,0.7\n")
    (tmp_path / "bad.csv").write_text(HEAD + "i0,g0,1,nan\ni1,g1,0,0.1\n")
    return lambda *arguments: CliRunner().invoke(app, ["metrics", "--replicates", "100", *map(str, arguments)])


def test_a_comparison_with_a_threshold_from_other_images(invoke, tmp_path):
    chosen = ("--target", "sensitivity>=0.95", "--validation", "b.csv", "--prevalence", 0.05)
    done = invoke("a.csv", "--compare", "b.csv", "--out", "out", *chosen)
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["threshold"]["value"] == pytest.approx(0.625)
    assert metrics["results"]["pooled"]["counts"]["true_positive"] == 3
    assert metrics["comparison"]["differences"]["auc"]["value"] == pytest.approx(1 / 16)
    assert metrics["use"]["decision_curve"]["prevalence"] == 0.05
    assert (tmp_path / "out" / "decision_curve.svg").is_file()
    assert "Research use only" in done.output
    assert "must not be concluded" in done.output


def test_without_a_folder_nothing_is_written(invoke, tmp_path):
    before = set(tmp_path.iterdir())
    done = invoke("a.csv")
    assert done.exit_code == 0
    assert "the default, chosen on no image" in done.output
    assert invoke("c.csv").exit_code == 0
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("bad.csv",), "no number in the column score in row 1"),
        (("gone.csv",), "There is no file gone.csv"),
        (("a.csv", "--compare", "bad.csv"), "no number in the column score"),
        (("c.csv", "--compare", "c.csv"), "several classes are not compared"),
        (("a.csv", "--out", "a.csv"), "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(invoke, arguments, reason):
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert reason in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("a.csv", "--target", "youden"),
        ("a.csv", "--validation", "b.csv"),
        ("a.csv", "--target", "youden", "--validation", "b.csv", "--threshold", "0.5"),
        ("a.csv", "--target", "best", "--validation", "b.csv"),
        ("a.csv", "--threshold", "1.5"),
        ("c.csv", "--threshold", "0.5"),
    ],
)
def test_options_that_do_not_go_together_are_refused(invoke, arguments):
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert "Usage" in done.output
