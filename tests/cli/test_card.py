"""The command, on the bundle that ships."""

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.systems.bundle import open_bundle


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, ["card", *map(str, arguments)], env={"COLUMNS": "160"})


def test_in_the_terminal(run):
    done = run("cascade")
    assert done.exit_code == 0, done.output
    for words in ("Research use only", "Known limits", "kermany", "Not for", "Scores are", "--out"):
        assert words in done.output
    assert "learning rate" not in done.output.lower()


@pytest.mark.parametrize("name", ["card.html", "card.md"])
def test_as_a_page(run, tmp_path, name):
    done = run("cascade", "--out", tmp_path / name)
    assert done.exit_code == 0, done.output
    assert "Learning rate" in (tmp_path / name).read_text(encoding="utf-8")
    assert done.stdout == ""


def test_mistakes_are_one_sentence(run, tmp_path):
    for arguments, sentence in (
        (("gone",), "There is no bundle"),
        (("cascade", "--out", tmp_path / "c.txt"), ".html or"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2
        assert sentence in done.output
        assert "Traceback" not in done.output


def test_a_copy_is_a_bundle_of_ones_own(run, tmp_path):
    done = run("cascade", "--copy", tmp_path / "mine", "--out", tmp_path / "card.html")
    assert done.exit_code == 0, done.output
    assert open_bundle(tmp_path / "mine").card == open_bundle("cascade").card
    again = run("cascade", "--copy", tmp_path / "mine")
    assert again.exit_code == 2
    assert "is not an empty folder" in again.output
