"""``cxrscreen dicom`` as a person types it."""

import json
import subprocess
import sys
import time

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.cli.dicom import parse_peer
from cxrscreen.data.phantoms import make_phantom, write_dicom
from cxrscreen.dicom_node.scp import Node
from cxrscreen.dicom_node.settings import NodeSettings
from cxrscreen.errors import CxrscreenError
from cxrscreen.systems.contract import Screening, Stage


class PromptSystem:
    bundle_id = "cascade@test"

    def screen(self, radiograph, *, force=False, explain=True, policy="standard"):
        mask = np.zeros(radiograph.shape, np.uint8)
        mask[30:80, 20:60], mask[30:80, 70:110] = 1, 2
        stages = (Stage("pneumonia", "Pneumonia", 0.2, 0.5, "youden"),)
        heart = np.zeros(radiograph.shape, bool)
        heart[50:80, 60:70] = True
        seconds = {"total": 0.01}
        return Screening(stages, "normal", 0.2, mask, 0.1, (), "good", (), self.bundle_id, seconds, heart_mask=heart)


@pytest.fixture
def dicom(monkeypatch):
    monkeypatch.setattr("cxrscreen.systems.registry.load_system", lambda bundle: PromptSystem())
    return lambda *arguments: CliRunner().invoke(app, ["dicom", *map(str, arguments)])


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "chest.dcm"
    write_dicom(make_phantom(3, "normal", shape=(131, 129)), path)
    return path


@pytest.fixture
def node():
    received = []
    with Node(NodeSettings(port=0), lambda content, caller: received.append(content)) as running:
        yield f"CXRSCREEN@127.0.0.1:{running.port}", received


def test_echo_and_send(dicom, node, image, tmp_path):
    address, received = node
    assert dicom("echo", address).exit_code == 0
    sent = dicom("send", image, "--to", address, "--aet", "XRAY1")
    assert sent.exit_code == 0, sent.stderr
    assert "1 of 1 stored." in sent.stderr
    assert len(received) == 1
    (tmp_path / "text.dcm").write_text("no image")
    some = dicom("send", image, tmp_path, "--to", address)
    assert some.exit_code == 1
    assert "text.dcm: the file cannot be read as DICOM" in some.stderr


def test_nobody_there_is_one_sentence(dicom):
    found = dicom("echo", "NOBODY@127.0.0.1:1")
    assert found.exit_code == 2
    assert "cannot be reached" in found.stderr


def test_write_makes_the_objects_of_a_file_with_the_heart(dicom, image, tmp_path):
    found = dicom("write", image, "--out", tmp_path / "out")
    assert found.exit_code == 0, found.stderr
    folder = tmp_path / "out" / "chest"
    names = {path.name for path in folder.iterdir()}
    assert names == {"segmentation.dcm", "capture-1.dcm", "outlines.dcm", "report.dcm", "fhir.json"}
    segments = pydicom.dcmread(folder / "segmentation.dcm").SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == ["Right lung", "Left lung", "Heart"]
    assert b"Cardiothoracic ratio" in (folder / "report.dcm").read_bytes()
    study = pydicom.dcmread(image).StudyInstanceUID
    report = json.loads((folder / "fhir.json").read_text())["entry"][0]["resource"]
    assert report["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{study}"
    day = pydicom.dcmread(image).StudyDate
    assert report["effectiveDateTime"].startswith(f"{day[:4]}-{day[4:6]}-{day[6:]}")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    assert dicom("write", tmp_path / "bad.png", "--out", tmp_path / "out").exit_code == 1


def test_results_are_not_screened_and_are_written_again_in_their_place(dicom, image, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "in" / "res"
    folder.mkdir()
    (folder / "chest.dcm").write_bytes(image.read_bytes())
    assert dicom("write", folder / "chest.dcm", "--out", out).exit_code == 0
    first = {path.name for path in (out / "chest").iterdir()}
    # Of a bundle with one map more.
    (out / "chest" / "capture-9.dcm").write_bytes(b"old")
    again = dicom("write", folder, "--out", out)
    assert again.exit_code == 0, again.stderr
    assert "Left out as results of an earlier run: 6 files." in again.stderr
    assert [path.name for path in out.iterdir()] == ["chest"]
    assert {path.name for path in (out / "chest").iterdir()} == first
    alone = dicom("write", out, "--out", tmp_path / "more")
    assert alone.exit_code == 2
    assert "Only results of an earlier run were found" in alone.stderr
    # A heat map that was carried elsewhere is known by its header.
    (tmp_path / "moved.dcm").write_bytes((out / "chest" / "capture-1.dcm").read_bytes())
    moved = dicom("write", tmp_path / "moved.dcm", "--out", tmp_path / "more")
    assert moved.exit_code == 1
    assert "is a result of cxrscreen, not a radiograph" in moved.stderr


def test_a_result_that_cannot_be_written_fails_and_the_others_go_on(dicom, image, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(image.read_bytes())
    out = tmp_path / "out"
    (out / "a" / "fhir.json").mkdir(parents=True)
    (out / "a" / "report.dcm").touch()
    found = dicom("write", tmp_path / "a.dcm", tmp_path / "b.dcm", "--out", out)
    assert found.exit_code == 1
    assert "'a' could not be written" in found.stderr
    assert (out / "b" / "fhir.json").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "name the callers"),
        (("--to", "nowhere"), "names no peer"),
        (("--aet", "A\\B"), "wrong at ae_title"),
        (("--config", "missing.yaml"), "cannot be read"),
        (("--allow", "XRAY1@nowhere"), "wrong at callers"),
        (("--deidentify", "basic"), "Set CXRSCREEN_PSEUDONYM_KEY"),
    ],
)
def test_listen_says_what_is_wrong_before_it_starts(dicom, tmp_path, options, said):
    found = dicom("listen", "--out", tmp_path / "node", *options)
    assert found.exit_code == 2
    assert said in found.stderr.replace("\n", " ")


def test_listen_receives_until_it_is_told_to_stop(node, image, tmp_path):
    command = [sys.executable, "-m", "cxrscreen", "dicom", "listen", "--out", str(tmp_path / "node"), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.readline()
        port = said.split("port ")[1].strip(" .\n")
        sent = CliRunner().invoke(app, ["dicom", "send", str(image), "--to", f"CXRSCREEN@127.0.0.1:{port}"])
        assert sent.exit_code == 0, sent.stderr
        process.terminate()
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        assert process.returncode == 0
    assert len(list((tmp_path / "node" / "received").glob("*.dcm"))) == 1


def test_peers_in_words():
    peer = parse_peer("PACS@[::1]:104")
    assert (peer.ae_title, peer.host, peer.port) == ("PACS", "::1", 104)
    for text in ("PACS", "PACS@host", "@host:1", "PACS@host:0", "PACS@host:99999", "TITLE_THAT_IS_LONG@h:1"):
        with pytest.raises(CxrscreenError, match="names no peer"):
            parse_peer(text)
