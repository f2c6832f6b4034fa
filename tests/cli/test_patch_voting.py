"""Mistakes in one sentence; what the command measures is tested with what measures it."""

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.data.phantoms import write_set


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--elsewhere", "mongtomery"), "no image of the source mongtomery with lungs drawn by people"),
        ((), "no-such-bundle"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, arguments, reason):
    monkeypatch.setenv("COLUMNS", "400")
    folder = write_set(tmp_path / "set", 1, seed=5, size=152, dicom_every=0).parent
    given = ["patch-voting", "no-such-bundle", "--manifest", str(folder), "--out", str(tmp_path / "out"), *arguments]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2
    assert reason in done.output
    assert done.output.strip().count("\n") == 0
