"""Results on their way: states, order, repeats, commitment."""

import json
import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from cxrscreen.dicom_node import sender as sending
from cxrscreen.dicom_node.backoff import LONGEST_WAIT, backoff, patience
from cxrscreen.dicom_node.outbox import SILENCES, FolderOutbox
from cxrscreen.dicom_node.scp import Commitment
from cxrscreen.dicom_node.scu import Delivery, PeerError
from cxrscreen.dicom_node.sender import REFUSALS, Sender
from cxrscreen.dicom_node.settings import Peer

PEER = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
COMMITTING = PEER.model_copy(update={"commitment": True})


@pytest.fixture
def outbox(tmp_path):
    return FolderOutbox(tmp_path / "outbox")


def states(outbox):
    return {state.name: len(list(state.rglob("*.dcm"))) for state in outbox.root.iterdir()}


def test_put_once_whatever_its_state_and_sent_in_order(outbox, many):
    paths = many(3)
    assert [outbox.put(path, order) for order, path in enumerate(reversed(paths))] == [True] * 3
    assert [path.read_bytes() for path in outbox.pending()] == [path.read_bytes() for path in reversed(paths)]
    first, second, _ = outbox.pending()
    outbox.sent(first)
    outbox.refused(second, "It does not want it.")
    outbox.awaiting("1.2.3", outbox.pending())
    assert states(outbox) == {"pending": 0, "awaiting-commitment": 1, "sent": 1, "refused": 1}
    assert not any(outbox.put(path) for path in paths)
    assert (outbox.root / "refused" / f"{second.name}.txt").read_text() == "It does not want it.\n"
    assert all(path.exists() for path in paths)


def test_where_links_are_not_possible_it_is_a_copy(outbox, image, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", no_links)
    assert outbox.put(image)
    assert outbox.pending()[0].read_bytes() == image.read_bytes()


def test_what_the_peer_did_not_keep_is_pending_again(outbox, many):
    for path in many(3):
        outbox.put(path)
    names = [path.stem for path in outbox.pending()]
    outbox.awaiting("1.2.3", outbox.pending())
    assert not outbox.committed(Commitment("1.2.4", tuple(names), ()))
    assert not outbox.committed(Commitment("../pending", tuple(names), ()))
    assert outbox.committed(Commitment("1.2.3", (*names[:2], "9.9", "../../x"), names[2:]))
    assert states(outbox) == {"pending": 1, "awaiting-commitment": 0, "sent": 2, "refused": 0}


def test_what_is_never_committed_to_is_sent_later_with_each_time_also_after_a_restart(tmp_path, image):
    now = [10.0**9]

    def clock():
        return now[0]

    outbox = FolderOutbox(tmp_path / "box", clock)
    outbox.put(image)
    (path,) = outbox.pending()
    waits = []
    for number in range(4):
        outbox.awaiting(f"1.2.{number}", outbox.pending())
        assert outbox.committed(Commitment(f"1.2.{number}", (), (path.stem,)))
        start = now[0]
        outbox = FolderOutbox(tmp_path / "box", clock)
        while not outbox.pending():
            now[0] += 1
        waits.append(now[0] - start)
    assert waits == [2, 4, 8, 16]
    (note,) = path.parent.glob("*.json")
    for damaged in ("", "[]", "{}", '{"failures": 1, "not_before": "x"}', '{"failures": 1, "not_before": 1e99}'):
        note.write_text(damaged)
        assert outbox.pending() == (path,)
    outbox.sent(path)
    assert not list(path.parent.iterdir())


def test_silence_after_a_request_makes_it_pending_again(tmp_path, many):
    now = [10**10]
    outbox = FolderOutbox(tmp_path / "box", lambda: now[0])
    outbox.put(many(1)[0])
    outbox.awaiting("1.2.3", outbox.pending())
    os.utime(outbox.root / "awaiting-commitment" / "1.2.3", (10**10, 10**10))
    assert outbox.overdue(60) == 0
    now[0] += 61
    assert outbox.overdue(60) == 1
    assert states(outbox)["pending"] == 1


def test_an_archive_that_never_answers_is_asked_less_and_less_and_given_up(tmp_path, image):
    now = [10.0**9]
    outbox = FolderOutbox(tmp_path / "box", lambda: now[0])
    outbox.put(image)
    waits = []
    for number in range(SILENCES):
        # In a run of its own each time: nothing is counted in memory.
        outbox = FolderOutbox(tmp_path / "box", lambda: now[0])
        outbox.awaiting(f"1.2.{number}", outbox.pending())
        asked = now[0]
        os.utime(outbox.root / "awaiting-commitment" / f"1.2.{number}", (asked, asked))
        while states(outbox)["awaiting-commitment"]:
            now[0] += 1800
            outbox.overdue(3600)
        waits.append((now[0] - asked) / 3600)
        assert outbox.pending() == (), "not again at once"
        now[0] += LONGEST_WAIT
    assert waits == [1, 2, 4, 8, 16, 24, 24, 24, 24, 24]
    assert states(outbox) == {"pending": 0, "awaiting-commitment": 0, "sent": 0, "refused": 1}
    (reason,) = (outbox.root / "refused").glob("*.txt")
    assert "answered none of 10 requests" in reason.read_text()
    assert not list((outbox.root / "pending").iterdir())


def test_a_late_answer_counts_also_where_it_was_asked_again(tmp_path, many):
    now = [10.0**9]
    outbox = FolderOutbox(tmp_path / "box", lambda: now[0])
    for path in many(3):
        outbox.put(path)
    names = [path.stem for path in outbox.pending()]
    for number in range(2):
        outbox.awaiting(f"1.2.{number}", outbox.pending())
        os.utime(outbox.root / "awaiting-commitment" / f"1.2.{number}", (now[0], now[0]))
        now[0] += 150
        assert outbox.overdue(60) == 3
        now[0] += 10
    outbox = FolderOutbox(tmp_path / "box", lambda: now[0])
    assert outbox.committed(Commitment("1.2.0", (names[0], "../../x"), ()))
    outbox.awaiting("1.2.2", outbox.pending())
    assert outbox.committed(Commitment("1.2.1", tuple(names[1:2]), tuple(names[2:])))
    assert states(outbox) == {"pending": 0, "awaiting-commitment": 1, "sent": 2, "refused": 0}
    assert not outbox.committed(Commitment("1.2.7", tuple(names), ()))
    assert not outbox.committed(Commitment("1.2.0", tuple(names[:1]), ())), "it is sent already"
    assert outbox.committed(Commitment("1.2.2", tuple(names), ()))
    assert states(outbox)["sent"] == 3
    assert not list((outbox.root / "pending").iterdir())


def test_a_late_answer_in_the_middle_of_sending_again_is_no_fault(tmp_path, many, monkeypatch):
    now = [10.0**9]
    outbox = FolderOutbox(tmp_path / "box", lambda: now[0])
    for path in many(2):
        outbox.put(path)
    peer = Scripted(monkeypatch)
    sender = Sender("ME", COMMITTING, outbox)
    sender.once()
    ((_, _, transaction, instances),) = peer.asked
    os.utime(outbox.root / "awaiting-commitment" / transaction, (now[0], now[0]))
    now[0] += 3600
    assert outbox.overdue(3600) == 2
    now[0] += LONGEST_WAIT
    original = peer.send

    def send(own_title, peer, paths, **_):
        for delivery in original(own_title, peer, paths):
            outbox.committed(Commitment(transaction, (delivery.path.stem,), ()))
            yield delivery

    monkeypatch.setattr(sending, "send", send)
    assert sender.once() is False
    assert len(instances) == 2
    assert len(peer.asked) == 1, "nothing was left to ask for"
    assert states(outbox) == {"pending": 0, "awaiting-commitment": 0, "sent": 2, "refused": 0}


def test_what_awaits_an_answer_counts_as_sent_once_nothing_is_asked_any_more(outbox, many, monkeypatch):
    Scripted(monkeypatch)
    paths = many(2)
    outbox.put(paths[0])
    Sender("ME", COMMITTING, outbox).once()
    assert states(outbox)["awaiting-commitment"] == 1
    outbox.put(paths[1])
    Sender("ME", PEER, outbox).once()
    assert states(outbox) == {"pending": 0, "awaiting-commitment": 0, "sent": 2, "refused": 0}


def test_patience_doubles_up_to_a_day_and_is_never_shorter_than_what_is_set():
    assert [patience(3600, silences) for silences in (0, 1, 5)] == [3600, 7200, 86400]
    assert patience(10**6, 50) == 10**6


def test_backoff_doubles_up_to_its_end():
    assert [backoff(tries) for tries in (1, 2, 3)] == [2, 4, 8]
    assert backoff(1000) == LONGEST_WAIT
    assert backoff(1, 0.999) > 1.5


class Scripted:
    """A peer that gives these outcomes, one after another."""

    def __init__(self, monkeypatch, *outcomes):
        self.outcomes, self.asked = list(outcomes), []
        monkeypatch.setattr(sending, "send", self.send)
        monkeypatch.setattr(sending, "request_commitment", lambda *about, **_: self.asked.append(about))

    def send(self, own_title, peer, paths, **_):
        for path in paths:
            outcome = self.outcomes.pop(0) if self.outcomes else "stored"
            if outcome == "down":
                raise PeerError("The peer is down.")
            yield Delivery(path, outcome, "a reason")


def test_everything_is_sent_and_nothing_twice(outbox, many, monkeypatch):
    peer = Scripted(monkeypatch)
    for path in many(3):
        outbox.put(path)
    assert Sender("ME", PEER, outbox).once() is False
    assert states(outbox)["sent"] == 3
    assert not peer.asked


def test_a_peer_that_is_down_keeps_everything_pending(outbox, many, monkeypatch):
    Scripted(monkeypatch, "stored", "down")
    for path in many(3):
        outbox.put(path)
    sender = Sender("ME", PEER, outbox)
    with pytest.raises(PeerError):
        sender.once()
    assert states(outbox)["pending"] == 2
    sender.once()
    assert states(outbox)["sent"] == 3


def test_refused_for_good_only_after_several_tries(tmp_path, image, monkeypatch):
    now = [10.0**9]
    outbox = FolderOutbox(tmp_path / "box", lambda: now[0])
    Scripted(monkeypatch, *["refused"] * REFUSALS)
    outbox.put(image)
    sender = Sender("ME", PEER, outbox)
    for tries in range(1, REFUSALS):
        assert sender.once() is False
        assert states(outbox)["pending"] == 1
        assert outbox.pending() == ()
        now[0] += backoff(tries)
    sender.once()
    assert states(outbox) == {"pending": 0, "awaiting-commitment": 0, "sent": 0, "refused": 1}


def test_what_is_never_taken_holds_up_nobody_shows_its_reason_and_ends_refused(tmp_path, many, monkeypatch):
    now, tried = [10.0**9], Counter()
    outbox = FolderOutbox(tmp_path / "box", lambda: now[0])
    monkeypatch.setattr(sending, "BATCH", 2)
    monkeypatch.setattr(sending, "TRIES", 12)
    paths = many(5)
    for path in paths[:3]:
        outbox.put(path)
    stuck = {path.name for path in outbox.pending()}

    def send(_own_title, _peer, some, **_):
        for path in some:
            tried[path.name] += 1
            yield Delivery(path, "later" if path.name in stuck else "stored", "the peer answered 0x0110")

    monkeypatch.setattr(sending, "send", send)
    sender = Sender("ME", PEER, outbox)
    assert sender.once() is False, "the peer is there, so nothing waits for it"
    for path in paths[3:]:
        outbox.put(path)
    assert sender.once() is False
    assert states(outbox) == {"pending": 3, "awaiting-commitment": 0, "sent": 2, "refused": 0}
    notes = [json.loads(note.read_text()) for note in (outbox.root / "pending").glob("*.json")]
    assert {note["reason"] for note in notes} == {"pacs did not take it: the peer answered 0x0110."}
    while states(outbox)["pending"]:
        now[0] += LONGEST_WAIT
        sender.once()
    assert [tried[name] for name in stuck] == [12] * 3
    reasons = {path.read_text() for path in (outbox.root / "refused").glob("*.txt")}
    assert reasons == {"pacs did not take it in 12 tries: the peer answered 0x0110.\n"}


def test_a_connection_that_breaks_is_charged_to_nobody_whose_turn_had_not_come(outbox, many, monkeypatch):
    Scripted(monkeypatch, "stored", "later", "unsent")
    for path in many(3):
        outbox.put(path)
    sender = Sender("ME", PEER, outbox)
    assert sender.once() is True
    assert states(outbox)["sent"] == 1
    assert len(outbox.pending()) == 1
    assert len(list((outbox.root / "pending").glob("*.json"))) == 1


def test_commitment_is_asked_for_and_noted_before(outbox, many, monkeypatch):
    peer = Scripted(monkeypatch)
    for path in many(2):
        outbox.put(path)
    Sender("ME", COMMITTING, outbox).once()
    ((_, _, transaction, instances),) = peer.asked
    assert len(instances) == 2
    assert states(outbox)["awaiting-commitment"] == 2
    assert outbox.committed(Commitment(transaction, tuple(uid for _, uid in instances), ()))
    assert states(outbox)["sent"] == 2


def test_the_loop_goes_on_after_any_fault_and_stops_when_told(outbox, image, monkeypatch):
    Scripted(monkeypatch, "down")
    monkeypatch.setattr(sending, "backoff", lambda *_: 0.01)
    outbox.put(image)
    stop = threading.Event()
    thread = threading.Thread(target=Sender("ME", PEER, outbox).run, args=(stop,), kwargs={"poll_seconds": 0.01})
    thread.start()
    for _ in range(3000):
        if states(outbox)["sent"]:
            break
        stop.wait(0.01)
    stop.set()
    thread.join(10)
    assert states(outbox)["sent"] == 1
    assert not thread.is_alive()
    assert Path(image).exists()


def test_what_is_new_does_not_wait_for_what_failed(outbox, many, monkeypatch):
    Scripted(monkeypatch, "down")
    failing, new = many(2)
    outbox.put(failing)
    stop, wake = threading.Event(), threading.Event()
    monkeypatch.setattr(sending, "backoff", lambda *_: 3600.0)
    thread = threading.Thread(target=Sender("ME", PEER, outbox, wake).run, args=(stop,), daemon=True)
    thread.start()
    outbox.put(new)
    for _ in range(300):
        # Set again and again: the first may come before the failure.
        wake.set()
        if states(outbox)["sent"] == 2:
            break
        stop.wait(0.05)
    assert states(outbox)["sent"] == 2
    stop.set()
    thread.join(10)


def test_the_end_does_not_wait_for_the_next_try(outbox, image, monkeypatch):
    Scripted(monkeypatch, *["down"] * 50)
    failed = threading.Event()

    def long(*_):
        failed.set()
        return 3600.0

    monkeypatch.setattr(sending, "backoff", long)
    outbox.put(image)
    stop = threading.Event()
    thread = threading.Thread(target=Sender("ME", PEER, outbox).run, args=(stop,), daemon=True)
    thread.start()
    assert failed.wait(30)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
