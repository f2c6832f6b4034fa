"""Received instances and their states."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from cxrscreen.dicom_node import spool as spooling
from cxrscreen.dicom_node.durable import write_durably
from cxrscreen.dicom_node.scp import CallingPeer
from cxrscreen.dicom_node.spool import Spool, Waiting, of_quiet_studies

CALLER = CallingPeer("MODALITY", "127.0.0.1")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def test_kept_as_it_came_and_once(spool, image):
    for _ in range(2):
        spool.received(image.read_bytes(), CALLER)
    (waiting,) = spool.waiting()
    assert waiting.path.read_bytes() == image.read_bytes()
    spool.done(waiting)
    spool.received(image.read_bytes(), CALLER)
    assert spool.waiting() == ()
    assert [path.name for path in (spool.root / "screened").iterdir()] == [waiting.path.name]
    assert not list((spool.root / "set-aside").iterdir())


def test_another_one_under_the_same_uid_is_set_aside_and_kept(spool, image):
    spool.received(image.read_bytes(), CALLER)
    other = image.read_bytes()[:-2] + b"\x01\x02"
    spool.received(other, CALLER)
    assert len(spool.waiting()) == 1
    (kept,) = (spool.root / "set-aside").glob("*.dcm")
    assert kept.read_bytes() == other
    assert "same UID" in Path(f"{kept}.txt").read_text()


def test_two_under_one_uid_at_the_same_moment_are_both_kept(spool, image, monkeypatch):
    contents = [image.read_bytes()[:-2] + bytes([number, 1]) for number in range(4)]

    def slowly(path, content):
        time.sleep(0.2)
        write_durably(path, content)

    monkeypatch.setattr(spooling, "write_durably", slowly)
    with ThreadPoolExecutor(len(contents)) as pool:
        list(pool.map(lambda content: spool.received(content, CALLER), contents))
    assert {path.read_bytes() for path in spool.root.rglob("*.dcm")} == set(contents)
    assert len(spool.waiting()) == 1


def test_a_second_one_that_cannot_be_screened_leaves_the_first(spool, image):
    contents = [image.read_bytes(), image.read_bytes()[:-2] + b"\x01\x02"]
    for content in (*contents, contents[0]):
        spool.received(content, CALLER)
        (waiting,) = spool.waiting()
        spool.set_aside(waiting, f"It is damaged ({contents.index(content)}).")
    kept = {path.read_bytes(): path for path in (spool.root / "set-aside").glob("*.dcm")}
    assert list(map(contents.index, sorted(kept, key=contents.index))) == [0, 1]
    assert [Path(f"{kept[content]}.txt").read_text() for content in contents] == [
        "It is damaged (0).\n",
        "It is damaged (1).\n",
    ]


def test_what_vanishes_while_it_is_listed_is_passed_over_and_what_the_disk_does_not_tell_is_not(
    spool, files, monkeypatch
):
    for path in files.values():
        spool.received(path.read_bytes(), CALLER)
    gone, stale, *_ = sorted((spool.root / "received").glob("*.dcm"))
    original = Path.stat

    def stat(self, **options):
        if self == gone:
            raise FileNotFoundError(2, "No such file or directory")
        if self == stale:
            raise OSError(116, "Stale file handle")
        return original(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    waiting = spool.waiting()
    assert gone not in {one.path for one in waiting}
    assert (len(waiting), waiting[0].path) == (len(files) - 1, stale)


def test_a_study_is_complete_once_it_is_quiet(tmp_path, image, files):
    clock = Clock()
    spool = Spool(tmp_path, clock)
    spool.received(image.read_bytes(), CALLER)
    (first,) = spool.waiting()
    os.utime(first.path, (100, 100))
    clock.now = 109
    assert spool.complete(10) == ()
    clock.now = 110
    assert [one.path for one in spool.complete(10)] == [first.path]
    spool.received(files["RLELossless"].read_bytes(), CALLER)
    second = next(one for one in spool.waiting() if one.path != first.path)
    os.utime(second.path, (108, 108))
    assert spool.complete(10) == ()


def test_the_quietest_study_first_and_a_clock_set_back_holds_nothing():
    waiting = [
        Waiting(Path(name), study, since) for name, study, since in (("a", "1", 5), ("b", "2", 3), ("c", "1", 1))
    ]
    assert [one.path.name for one in of_quiet_studies(waiting, 20, 10)] == ["b", "c", "a"]
    assert [one.path.name for one in of_quiet_studies(waiting, 14, 10)] == ["b"]
    assert len(of_quiet_studies(waiting, -1000, 10)) == 3


def test_set_aside_with_its_reason_and_counted_beginnings(spool, image):
    spool.received(image.read_bytes(), CALLER)
    (waiting,) = spool.waiting()
    assert [spool.begin(waiting) for _ in range(3)] == [1, 2, 3]
    assert Spool(spool.root).begin(waiting) == 4
    spool.set_aside(waiting, "It is damaged.")
    assert (spool.root / "set-aside" / f"{waiting.path.name}.txt").read_text() == "It is damaged.\n"
    assert not list((spool.root / "begun").iterdir())


def test_what_a_kill_left_of_a_file_is_removed(spool):
    (spool.root / "received" / "1.2_3.4.dcm.abc.part").write_bytes(b"half")
    Spool(spool.root)
    assert not list((spool.root / "received").iterdir())


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_durably(tmp_path / "a", b"content")
    assert not list(tmp_path.iterdir())
