import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cxrscreen import __version__
from cxrscreen.cli import app as app_module
from cxrscreen.cli.app import app
from cxrscreen.errors import CxrscreenError


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_the_commands_and_the_use(option: str) -> None:
    result = CliRunner().invoke(app, [option])
    assert result.exit_code == 0
    for command in ("screen", "doctor", "phantoms", "train", "evaluate"):
        assert command in result.output
    assert "Research use only" in result.output


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output.strip()) == (0, f"cxrscreen {__version__}")


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["diagnose"]).exit_code == 2


@pytest.mark.parametrize(
    ("raised", "code", "shown"),
    [(CxrscreenError("The file [x] is empty."), 2, "The file [x] is empty.\n"), (KeyboardInterrupt(), 130, "")],
)
def test_expected_ends_are_quiet(raised: BaseException, code: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = app_module.typer.Typer(cls=app_module.OneSentence)

    @trial.callback()
    def group() -> None:
        pass

    @trial.command()
    def end() -> None:
        raise raised

    result = CliRunner().invoke(trial, ["end"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == shown


def test_help_does_not_load_the_heavy_libraries() -> None:
    code = (
        "import sys; import cxrscreen.cli.app;"
        "print(sorted({'torch', 'cv2', 'openvino', 'pandas', 'jinja2', 'pydicom', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
