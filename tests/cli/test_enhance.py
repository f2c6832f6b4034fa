"""The command: pictures by name, one comparison a file, and its mistakes in one sentence."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        cv2.imwrite(f"{name}.png", rng.integers(40, 160, (80, 80)).astype(np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return lambda *arguments: CliRunner().invoke(app, ["enhance", *map(str, arguments)])


def test_pictures_and_a_comparison(invoke, tmp_path):
    done = invoke("a.png", "-m", "clahe", "-m", "beasf", "--gamma", 1, "--gamma", 2, "-o", "out")
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {"a-clahe.png", "a-beasf-1.png", "a-beasf-2.png"}
    assert names == {*pictures, "a-comparison.png", "a-comparison.svg"}
    for name in pictures:
        picture = cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (80, 80)
        assert picture.std() > cv2.imread("a.png", cv2.IMREAD_UNCHANGED).std() * 0.9


def test_matching_takes_another_image(invoke, tmp_path):
    assert invoke("a.png", "-m", "match", "--reference", "b.png", "-o", "out").exit_code == 0
    alone = invoke("a.png", "-m", "match", "-o", "out")
    assert alone.exit_code == 2
    assert "belong together" in alone.output


def test_the_three_channels_are_one_picture(invoke, tmp_path):
    from cxrscreen.imaging.enhancement import grey_quantiles, match_histogram, three_channels
    from cxrscreen.imaging.read import read

    assert invoke("a.png", "-m", "he", "--stack", "--reference", "b.png", "-o", "out").exit_code == 0
    picture = cv2.imread(str(tmp_path / "out" / "a-stack.png"), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    matched = match_histogram(read(tmp_path / "a.png").pixels, grey_quantiles(read(tmp_path / "b.png").pixels))
    np.testing.assert_allclose(np.moveaxis(picture, -1, 0), 255 * three_channels(matched), atol=0.51)
    assert invoke("a.png", "-m", "he", "--stack", "-o", "plain").exit_code == 0
    plain = cv2.imread(str(tmp_path / "plain" / "a-stack.png"), cv2.IMREAD_UNCHANGED)
    assert (plain[:, :, 2] == cv2.imread("a.png", cv2.IMREAD_GRAYSCALE)).all()
    assert "belong together" in invoke("a.png", "-m", "he", "--reference", "b.png", "-o", "out").output


def test_a_broken_file_does_not_stop_the_others(invoke, tmp_path):
    done = invoke("broken.png", "a.png", "-m", "he", "-o", "out")
    assert done.exit_code == 1
    assert "broken.png" in done.output
    assert (tmp_path / "out" / "a-he.png").is_file()


@pytest.mark.parametrize("name", ["a-he.png", "a-comparison.svg"])
def test_a_picture_that_cannot_be_written_fails_its_file_alone(invoke, tmp_path, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    done = invoke("a.png", "b.png", "-m", "he", "-o", "out")
    assert done.exit_code == 1
    assert "pictures of a.png could not be written (Is a directory)" in done.output
    assert "1 of 2 enhanced" in done.output
    assert (tmp_path / "out" / "b-he.png").is_file()


def test_any_file_name_is_taken(tmp_path):
    # In a process of its own: what OpenCV makes of such a name is no exception.
    picture = cv2.imencode(".png", np.arange(6400, dtype=np.uint8).reshape(80, 80))[1].tobytes()
    names = [b"M\xfcller.png", b"1.2.840.113.1", b"1.2.840.113.2", b"x$\\y$.png"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(picture)
    command = [os.fsencode(sys.executable), b"-m", b"cxrscreen", b"enhance", *names, b"-m", b"he", b"-o", b"out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "out").glob("*-he.png")}
    assert written == {"M_ller-he.png", "1.2.840.113.1-he.png", "1.2.840.113.2-he.png", "x$_y$-he.png"}


def test_mistakes_are_one_sentence(invoke, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").write_bytes((tmp_path / "a.png").read_bytes())
    for arguments, said in (
        (("a.png", "other/a.png"), "called a"),
        (("a.png", "--gamma", "nan"), "between 0.01 and 100"),
    ):
        done = invoke(*arguments, "-o", "out")
        assert done.exit_code == 2
        assert said in done.output
        assert "Traceback" not in done.output
