import pytest
from typer.testing import CliRunner

from cxrscreen.cli import serve as module
from cxrscreen.cli.app import app

ask = CliRunner().invoke


def test_help_says_what_is_needed_to_begin():
    for command in ("serve", "work", "database"):
        answer = ask(app, [command, "--help"])
        assert answer.exit_code == 0
        assert "Research use only" in answer.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--host", "0.0.0.0"], "CXRSCREEN_API_TOKEN"),
        (["serve", "--config", "none.yaml"], "cannot be read"),
        (["database", "restore", "none.tar.gz"], "cannot be read"),
    ],
)
def test_mistakes_are_one_sentence(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CXRSCREEN_API_TOKEN", raising=False)
    answer = ask(app, arguments)
    assert answer.exit_code == 2
    assert said in " ".join(answer.output.split())
    assert "Traceback" not in answer.output


@pytest.mark.parametrize("command", [["database", "purge"], ["tokens", "add", "modality", "--role", "reader"]])
@pytest.mark.parametrize("days", ["1e300", "inf", "36501", "nan"])
def test_more_days_than_a_century_has_are_refused(command, days, tmp_path):
    answer = ask(app, [*command, "--days", days, "--folder", str(tmp_path)])
    assert answer.exit_code == 2
    assert "less than or equal to 36500" in " ".join(answer.output.replace("│", " ").split())
    assert "Traceback" not in answer.output


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    answer = ask(app, ["serve"])
    assert (answer.exit_code, "cxrscreen[service]" in answer.output) == (2, True)


def test_a_backup_goes_round(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments, said in (
        (["upgrade"], "revision"),
        (["purge", "--days", "1"], "0 studies deleted"),
        (["backup", "b.tar.gz"], "0 studies, 0 results"),
    ):
        answer = ask(app, ["database", *arguments, "--folder", "one"])
        assert answer.exit_code == 0, answer.output
        assert said in answer.output
    answer = ask(app, ["database", "restore", "b.tar.gz", "--folder", "two"])
    assert "restored" in answer.output
