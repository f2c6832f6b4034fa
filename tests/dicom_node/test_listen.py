"""From a received instance to its results in the outbox, step by step."""

import json
import subprocess
import sys
import threading

import pytest
from pydicom import uid

from cxrscreen.cli.dicom import parse_peer
from cxrscreen.dicom_node import listen as listening
from cxrscreen.dicom_node.instance import NOT_DEIDENTIFIED
from cxrscreen.dicom_node.listen import ATTEMPTS, ListenError, listen, screen_one
from cxrscreen.dicom_node.outbox import FolderOutbox
from cxrscreen.dicom_node.scp import CallingPeer
from cxrscreen.dicom_node.scu import send
from cxrscreen.dicom_node.settings import NodeSettings, Peer
from cxrscreen.dicom_node.spool import Spool
from cxrscreen.errors import CxrscreenError, OutOfMemoryError, UnreachableImageError, UnreadableImageError

from ..peers import free_port
from .prompt_node import prompt_screen


@pytest.fixture
def spool(tmp_path, image):
    made = Spool(tmp_path / "node")
    made.received(image.read_bytes(), CallingPeer("XRAY1", "127.0.0.1"))
    return made


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_results_are_written_put_out_once_and_the_instance_is_done(spool, tmp_path):
    (waiting,) = spool.waiting()
    outbox = FolderOutbox(tmp_path / "outbox")
    results = tmp_path / "results"
    results.mkdir()
    record = screen_one(waiting, spool, results, prompt_screen, (outbox,))
    assert (record.status, record.finding, record.file) == ("screened", "other_pneumonia", waiting.path.name)
    written = names(results / waiting.path.stem)
    assert {"report.dcm", "segmentation.dcm", "maps.dcm", "capture-2.dcm", "fhir.json", "record.json"} <= set(written)
    told = json.loads((results / waiting.path.stem / "fhir.json").read_text())["entry"][0]["resource"]
    assert told["effectiveDateTime"][:4].isdigit()
    assert json.loads((results / waiting.path.stem / "record.json").read_text())["triage_score"] == 0.9
    assert spool.waiting() == ()
    assert len(outbox.pending()) == 6
    # As after a kill that came between the outbox and the last rename.
    (spool.root / "screened" / waiting.path.name).rename(waiting.path)
    outbox.sent(outbox.pending()[0])
    screen_one(waiting, spool, results, prompt_screen, (outbox,))
    assert len(outbox.pending()) == 5
    assert len(names(outbox.root / "sent")) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnreadableImageError("It is truncated; export it again."), "It is truncated; export it again.\n"),
        (ValueError("PATIENT^NAME"), "It met an unexpected fault (ValueError).\n"),
    ],
)
def test_what_cannot_be_screened_is_set_aside_with_the_reason(spool, tmp_path, error, said):
    def fail(path):
        raise error

    (waiting,) = spool.waiting()
    record = screen_one(waiting, spool, tmp_path, fail, ())
    assert record.status == "failed"
    assert names(spool.root / "set-aside") == [waiting.path.name, f"{waiting.path.name}.txt"]
    assert (spool.root / "set-aside" / f"{waiting.path.name}.txt").read_text() == said


def test_an_instance_that_ends_the_process_again_and_again_is_given_up(spool, tmp_path):
    (waiting,) = spool.waiting()
    for _ in range(ATTEMPTS):
        spool.begin(waiting)
    record = screen_one(waiting, spool, tmp_path, prompt_screen, ())
    assert record.status == "failed"
    assert "ended the process 3 times" in (record.error or "")


def test_a_full_disk_costs_no_instance_its_turn(tmp_path, image, monkeypatch):
    monkeypatch.setattr(listening, "RETRY_SECONDS", 0.01)
    folder, stop = tmp_path / "node", threading.Event()
    Spool(folder).received(image.read_bytes(), CallingPeer("XRAY1", "127.0.0.1"))
    original, failures = listening.write_objects, []

    def full_at_first(*arguments):
        if len(failures) < ATTEMPTS + 2:
            failures.append(1)
            raise OSError(28, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(listening, "write_objects", full_at_first)
    settings = NodeSettings(port=0, study_quiet_seconds=0)
    records = []

    def seen(record):
        records.append(record)
        stop.set()

    listen(settings, folder, prompt_screen, stop, on_record=seen, poll_seconds=0.01)
    assert [record.status for record in records] == ["screened"]
    assert len(failures) == ATTEMPTS + 2
    assert len(names(folder / "screened")) == 1


def test_an_instance_that_the_disk_does_not_give_stays_and_holds_up_no_other(tmp_path, many, monkeypatch):
    monkeypatch.setattr(listening, "RETRY_SECONDS", 0.01)
    folder, stop = tmp_path / "node", threading.Event()
    spool = Spool(folder)
    for path in many(2):
        spool.received(path.read_bytes(), CallingPeer("XRAY1", "127.0.0.1"))
    failing, other = (waiting.path for waiting in spool.waiting())
    tries, screened = [], []

    def screen(path):
        if path == failing and len(tries) < ATTEMPTS + 2:
            tries.append(len(screened))
            raise UnreachableImageError("It cannot be opened (Input/output error); check the name and your rights.")
        return prompt_screen(path)

    def seen(record):
        screened.append(record.file)
        if len(screened) == 2:
            stop.set()

    listen(NodeSettings(port=0, study_quiet_seconds=0), folder, screen, stop, on_record=seen, poll_seconds=0.01)
    assert screened == [other.name, failing.name]
    assert tries == [0, *[1] * (ATTEMPTS + 1)]
    assert names(folder / "set-aside") == []


def test_a_folder_that_cannot_be_listed_for_a_moment_and_a_closed_terminal_end_nothing(tmp_path, many, monkeypatch):
    monkeypatch.setattr(listening, "RETRY_SECONDS", 0.01)
    folder, stop, failures, shown = tmp_path / "node", threading.Event(), [], []
    spool = Spool(folder)
    for path in many(2):
        spool.received(path.read_bytes(), CallingPeer("XRAY1", "127.0.0.1"))
    original = Spool.waiting

    def waiting(self):
        if len(failures) < 3:
            failures.append(1)
            raise OSError(116, "Stale file handle")
        return original(self)

    def show(record):
        shown.append(record.status)
        if len(shown) == 2:
            stop.set()
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(Spool, "waiting", waiting)
    settings = NodeSettings(port=0, study_quiet_seconds=0)
    listen(settings, folder, prompt_screen, stop, on_record=show, poll_seconds=0.01)
    assert (len(failures), shown) == (3, ["screened"] * 2)
    assert len(names(folder / "screened")) == 2


def test_what_waits_for_a_peer_that_is_no_longer_named_is_said(tmp_path, many):
    folder, stop, said = tmp_path / "node", threading.Event(), []
    outboxes = {name: FolderOutbox(folder / "outbox" / name) for name in ("old", "older", "away", "done")}
    for number, path in enumerate(many(3)):
        outboxes["old"].put(path)
        if number == 0:
            outboxes["old"].awaiting("1.2.3", outboxes["old"].pending())
            outboxes["older"].put(path)
        outboxes["away"].put(path)
        outboxes["done"].put(path)
    for path in outboxes["done"].pending():
        outboxes["done"].sent(path)
    settings = NodeSettings(port=0, peers=(Peer(name="away", ae_title="PACS", host="127.0.0.1", port=1),))
    listen(settings, folder, None, stop, started=lambda _port: stop.set(), warn=said.append)
    assert [sentence.partition(",")[0] for sentence in said] == ["3 results wait for old", "1 result waits for older"]
    assert all("outbox/NAME/pending" in sentence for sentence in said)


def test_the_command_says_for_whom_results_wait(tmp_path, image):
    name = parse_peer("PACS@127.0.0.1:1").name
    FolderOutbox(tmp_path / "outbox" / name).put(image)
    command = [sys.executable, "-m", "cxrscreen", "dicom", "listen", "--out", str(tmp_path), "--port", str(free_port())]
    with subprocess.Popen([*command, "--to", "PACS@127.0.0.1:2"], stderr=subprocess.PIPE, text=True) as running:
        said = ""
        while "listens on" not in said:
            assert running.poll() is None, said
            said += running.stderr.readline()
        running.terminate()
        assert running.wait(60) == 0
    assert f"1 result waits for {name}," in said


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemoryError("It does not fit into the memory; free memory.")])
def test_an_instance_that_fills_the_memory_each_time_is_set_aside_in_the_end(tmp_path, image, monkeypatch, error):
    monkeypatch.setattr(listening, "RETRY_SECONDS", 0.01)
    folder, stop, records, tries = tmp_path / "node", threading.Event(), [], []
    Spool(folder).received(image.read_bytes(), CallingPeer("XRAY1", "127.0.0.1"))

    def screen(_path):
        tries.append(1)
        raise error

    def seen(record):
        records.append(record)
        stop.set()

    listen(NodeSettings(port=0, study_quiet_seconds=0), folder, screen, stop, on_record=seen, poll_seconds=0.01)
    assert len(tries) == ATTEMPTS
    assert "filled the memory" in records[0].error


def test_a_node_receives_screens_and_stops_and_holds_its_folder_alone(tmp_path, image, node_at, shelf):
    archive = node_at(ae_title="PACS").model_copy(update={"name": "pacs"})
    settings = NodeSettings(port=0, study_quiet_seconds=0, timeout_seconds=120, peers=(archive,))
    folder, stop, ports, records = tmp_path / "node", threading.Event(), [], []
    running = threading.Thread(
        target=listen,
        args=(settings, folder, prompt_screen, stop),
        kwargs={"started": ports.append, "on_record": records.append, "poll_seconds": 0.05},
    )
    running.start()
    while not ports:
        assert running.is_alive()
        stop.wait(0.05)
    with pytest.raises(ListenError, match="Another node"):
        listen(settings, folder, prompt_screen, threading.Event())
    peer = Peer(name="node", ae_title="CXRSCREEN", host="127.0.0.1", port=ports[0])
    assert next(iter(send("XRAY1", peer, [image], timeout=120))).outcome == "stored"
    while running.is_alive() and not records:
        stop.wait(0.05)
    stop.set()
    running.join(60)
    assert [record.status for record in records] == ["screened"]
    assert not running.is_alive()
    assert names(folder / "screened")


def test_what_comes_is_deidentified_before_it_is_kept_or_not_taken(tmp_path, files):
    stop, ports = threading.Event(), []
    good, bad = files["ExplicitVRLittleEndian"], files["RLELossless"]

    def deidentify(content):
        if uid.RLELossless.encode() in content:
            raise CxrscreenError("Text is burned in.")
        return content.replace(b"Synthetic", b"Anonymous")

    settings = NodeSettings(port=0, timeout_seconds=120)
    given = {"started": ports.append, "deidentify": deidentify, "poll_seconds": 0.02}
    thread = threading.Thread(target=listen, args=(settings, tmp_path, None, stop), kwargs=given)
    thread.start()
    while not ports:
        stop.wait(0.02)
    peer = Peer(name="node", ae_title="CXRSCREEN", host="127.0.0.1", port=ports[0])
    outcomes = {one.path: one.reason or one.outcome for one in send("X", peer, [good, bad])}
    stop.set()
    thread.join(60)
    (kept,) = (tmp_path / "received").iterdir()
    assert outcomes == {good: "stored", bad: f"the peer answered 0x{NOT_DEIDENTIFIED:04X}"}
    assert b"Synthetic" in good.read_bytes()
    assert b"Synthetic" not in kept.read_bytes()
