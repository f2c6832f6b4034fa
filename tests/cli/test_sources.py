"""The commands from a publisher's folder to a joined manifest."""

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.app import app
from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import make_phantom
from cxrscreen.data.public_sources import SOURCES


def run(*arguments):
    return CliRunner().invoke(app, ["sources", *(str(argument) for argument in arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def folder(tmp_path):
    """Hannover's repository with two images of three."""
    (tmp_path / "repository" / "png").mkdir(parents=True)
    header = "patient_id,image_id,sex,age,admission_offset,modality,projection\n"
    rows = "p1,i1,m,,0,CR,ap\np1,i2,m,,-3,DX,pa\np2,i3,f,,0,CR,ap\n"
    (tmp_path / "repository" / "data.csv").write_text(header + rows)
    grey = (make_phantom(1, shape=(128, 128)).pixels * 255).astype(np.uint8)
    for name in ("i1", "i2"):
        cv2.imwrite(str(tmp_path / "repository" / "png" / f"{name}.png"), grey)
    return tmp_path / "repository"


def test_the_table_holds_every_source():
    done = run()
    assert done.exit_code == 0, done.output
    assert all(name in done.output for name in SOURCES)
    assert RESEARCH_USE in done.output


@pytest.mark.parametrize("name", SOURCES)
def test_show_tells_how_to_fetch_it_and_what_is_wrong(name):
    done = run("show", name)
    assert done.exit_code == 0, done.output
    source = SOURCES[name]
    for text in (source.title, source.home, source.terms, source.checksums, *source.fetch, *source.faults):
        assert text in done.output
    assert RESEARCH_USE in done.output


def test_manifest_counts_what_there_is_and_what_was_left_out(folder, tmp_path):
    done = run("manifest", "hannover", folder, "--out", tmp_path / "h.csv", "--verify")
    assert done.exit_code == 0, done.output
    assert "hannover: 2 images: 2 covid19." in done.output
    assert "1 patients; 0 boxes." in done.output
    assert "Left out 1: 1 named in the publisher's table, but the file is not there." in done.output
    assert RESEARCH_USE in done.output
    table = load_manifest(tmp_path / "h.csv").table
    assert list(table["width"]) == ["128", "128"]


def test_join_writes_one_manifest(folder, tmp_path):
    run("manifest", "hannover", folder, "--out", tmp_path / "h.csv")
    (tmp_path / "own.csv").write_text("image_id,path,source,label\nx,x.png,own,normal\n")
    done = run("join", tmp_path / "h.csv", tmp_path / "own.csv", "--out", tmp_path / "all" / "m.csv")
    assert done.exit_code == 0, done.output
    assert "3 images (2 + 1), 0 linked" in done.output
    assert len(load_manifest(tmp_path / "all" / "m.csv").table) == 3
    again = run("join", tmp_path / "h.csv", tmp_path / "h.csv", "--out", tmp_path / "m.csv")
    assert again.exit_code == 2
    assert "give --prefix" in again.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "mimic"), "no source 'mimic'"),
        (("manifest", "hannover", "nowhere", "--out", "m.csv"), "There is no folder"),
        (("manifest", "nih", ".", "--out", "m.csv"), "does not hold Data_Entry_2017_v2020.csv"),
        (("join", "a.csv", "--out", "m.csv"), "at least two"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert sentence in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "m.csv").exists()


def test_an_output_that_cannot_be_written_is_one_sentence(folder, tmp_path):
    (tmp_path / "file").write_text("")
    done = run("manifest", "hannover", folder, "--out", tmp_path / "file" / "m.csv")
    assert done.exit_code == 2
    assert "cannot be written" in done.output
