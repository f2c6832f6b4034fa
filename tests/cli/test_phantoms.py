from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app


@pytest.mark.parametrize("settings", [["--count", "0"], ["--seed", "-1"], ["--size", "10"], ["--size", "100000"]])
def test_an_impossible_setting_is_exit_code_2(tmp_path: Path, settings: list[str]) -> None:
    result = CliRunner().invoke(app, ["phantoms", str(tmp_path / "out"), *settings])
    assert result.exit_code == 2
    assert "size" in result.stderr or settings[1] in result.stderr
    assert "Traceback" not in result.output


def test_a_file_in_the_place_of_the_folder_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    result = CliRunner().invoke(app, ["phantoms", str(tmp_path / "out"), "--count", "1"])
    assert result.exit_code == 2
    assert "could not be made" in result.stderr.replace("\n", " ")
