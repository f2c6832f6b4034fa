"""The pages that say so run from their first block to their last, as a reader would give them, on phantoms alone."""

import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from string import Template

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app

from .blocks import ROOT, SHELL, blocks_of, pages, runs, words

pytestmark = pytest.mark.pages


@pytest.mark.parametrize("page", [page for page in pages() if runs(page)], ids=lambda page: page.name)
def test_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks_of(page):
        for command in block.before:
            if command.startswith("install "):
                _, folder, package = command.split()
                _install(tmp_path / folder, package, monkeypatch)
                continue
            _give(Template(command).safe_substitute(REPOSITORY=str(ROOT)))
        if block.check or block.skip:
            continue
        if block.language in SHELL:
            for command in block.commands:
                _give(command)
        elif block.language == "python":
            exec(compile(block.text, str(block), "exec"), names)


def test_the_python_of_readme_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    python = [block for block in blocks_of(ROOT / "README.md") if block.language == "python"]
    assert python
    for block in python:
        exec(compile(block.text, str(block), "exec"), {"__name__": "page"})


DONE = ("phantoms", "evaluate", "screen", "biomarkers", "metrics")
"""Commands of README that run here, in their order; those left out train, serve or compare, and are checked alone."""
STANDS_FOR = {
    "200": "48",
    "DATA": "phantom-data",
    "DATA/manifest.csv": "phantom-data/manifest.csv",
    "PATH...": "phantom-data/images/phantom/0001-1.png",
    "my-bundle": "cascade",
    "scores.csv": "results/scores.csv",
}


def test_the_short_commands_of_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = []
    for block in blocks_of(ROOT / "README.md"):
        for command in block.commands:
            program, *rest = words(command)
            name = rest[0] if rest else ""
            if program.endswith("cxrscreen") and name in DONE and name not in done:
                _give(shlex.join(["cxrscreen", *(STANDS_FOR.get(word, word) for word in rest), *SMALLER.get(name, ())]))
                done.append(name)
            # What screens a file needs the folder that a later line makes.
            if "phantoms" not in done:
                _give("cxrscreen phantoms phantom-data --count 48 --size 160")
                done.append("phantoms")
    assert sorted(done) == sorted(DONE)


SMALLER = {"evaluate": ("--replicates", "100"), "metrics": ("--replicates", "100")}


def _install(folder: Path, package: str, monkeypatch) -> None:
    """What pip would do with a distribution of one package: it can be imported, and its entry points are found."""
    settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    facts = folder / f"{package}-{settings['version']}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Name: {settings['name']}\nVersion: {settings['version']}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in settings["entry-points"].items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)


def _give(command: str) -> None:
    given = words(command)
    if given[0].rpartition("/")[2] == "cxrscreen" and not set("|>;&$") & set(command):
        files = [name for word in given[1:] for name in _expanded(word)]
        result = CliRunner().invoke(app, files, catch_exceptions=False)
        assert result.exit_code == 0, f"{command}\n{result.output}"
        return
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-ec", command],
        env={"PATH": f"{scripts}:/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _expanded(word: str) -> list[str]:
    found = sorted(str(path) for path in Path.cwd().glob(word)) if "*" in word and not word.startswith("/") else []
    return found or [word]


def test_the_example_is_short():
    files = sorted((ROOT / "examples" / "a_system_of_your_own").rglob("*.py"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(files) == 4
    assert len(lines) < 100
