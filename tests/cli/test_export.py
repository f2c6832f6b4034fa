"""The commands' words and exit codes; what they write is tested in tests/systems/interchange."""

import sys

import pytest
from typer.testing import CliRunner

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.app import app
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.interchange import export as module
from cxrscreen.systems.interchange.phantom import Difference
from cxrscreen.systems.interchange.record import Compared, Record


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "160"})


@pytest.fixture
def record(monkeypatch):
    """Export and check that have been done already; asked for what the command line named."""
    asked = []
    made = Record(
        format="onnx",
        bundle="cascade@1",
        bundle_sha256="0",
        compared={"lungs": {"logits": Compared(largest=1.5e-5, scale=12.0)}},
        files={"lungs.onnx": "0"},
    )

    def export(bundle, kind, out):
        asked.append((bundle.card.name, kind, out))
        return made

    def check(folder, bundle):
        asked.append((folder, None if bundle is None else bundle.card.name))
        return made, {"lungs": {"logits": Difference(1.5e-5, 12.0)}}

    monkeypatch.setattr(module, "export_bundle", export)
    monkeypatch.setattr(module, "check_export", check)
    return asked


@pytest.mark.parametrize("kind", ["onnx", "monai", "triton"])
def test_export_shows_the_differences_the_licence_and_the_statement(run, record, tmp_path, kind):
    done = run("export", "cascade", "--format", kind, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert record == [("cascade", kind, tmp_path / "out")]
    for words in ("lungs", "1.5e-05", "on a phantom", RESEARCH_USE, open_bundle("cascade").card.licence[:40]):
        assert words.lower() in done.output.lower()


def test_import_check_names_the_bundle(run, record, tmp_path):
    done = run("import-check", tmp_path)
    assert done.exit_code == 0, done.output
    assert f"{tmp_path.name} is cascade@1: 1 files, 1 networks" in done.output
    assert RESEARCH_USE in done.output
    assert run("import-check", tmp_path, "--bundle", "cascade").exit_code == 0
    assert record == [(tmp_path, None), (tmp_path, "cascade")]


def test_mistakes_are_one_sentence(run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x", encoding="utf-8")
    for arguments, sentence in (
        (("export", "gone", "--format", "onnx", "--out", tmp_path / "out"), "There is no bundle"),
        (("export", "cascade", "--format", "onnx", "--out", tmp_path / "full"), "is not an empty folder"),
        (("import-check", tmp_path / "full"), "is no export of cxrscreen"),
        (("import-check", tmp_path / "gone"), "is no export of cxrscreen"),
        (("export", "cascade", "--format", "keras", "--out", tmp_path / "out"), "keras"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2
        assert sentence in done.output
        assert "Traceback" not in done.output


def test_without_onnx_it_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "cxrscreen.systems.interchange.networks")
    monkeypatch.delitem(sys.modules, "cxrscreen.systems.interchange.export")
    done = run("export", "cascade", "--format", "onnx", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "Exports need onnx, which is not installed" in done.output
