"""The node as callers see it, over the loopback."""

import random
import socket
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pydicom
import pytest
from pydicom import uid
from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association

from cxrscreen.dicom_node.instance import (
    CANNOT_UNDERSTAND,
    NOT_AUTHORIZED,
    OTHER_MODALITY,
    OUT_OF_RESOURCES,
    TOO_LARGE,
)
from cxrscreen.dicom_node.scp import Node
from cxrscreen.dicom_node.scu import PeerError, echo, send
from cxrscreen.dicom_node.settings import NodeSettings, NodeSettingsError

from .conftest import report


def test_every_transfer_syntax_arrives_as_it_was_sent(node_at, shelf, files):
    node = node_at()
    assert [delivery.outcome for delivery in send("XRAY1", node, list(files.values()))] == ["stored"] * len(files)
    for content, path in zip(shelf.contents, files.values(), strict=True):
        sent, kept = pydicom.dcmread(path), pydicom.dcmread(BytesIO(content))
        # An uncompressed one may come as the other uncompressed one; the rest as they are, bit by bit.
        syntaxes = {one.file_meta.TransferSyntaxUID for one in (sent, kept)}
        assert len(syntaxes) == 1 or syntaxes == {uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian}
        assert kept == sent
    assert {(caller.ae_title, caller.address) for caller in shelf.callers} == {("XRAY1", "127.0.0.1")}


def test_it_is_kept_before_it_is_acknowledged_and_a_full_disk_is_said(node_at, image):
    def full(content, caller):
        raise OSError(28, "No space left on device")

    (delivery,) = send("XRAY1", node_at(full), [image])
    assert (delivery.outcome, delivery.reason) == ("later", f"the peer answered 0x{OUT_OF_RESOURCES:04X}")


def test_a_fault_of_the_receiver_is_an_answer_and_no_end(node_at, image):
    def broken(content, caller):
        raise RuntimeError("PATIENT^NAME")

    node = node_at(broken)
    assert [delivery.reason for delivery in send("X", node, [image])] == ["the peer answered 0x0110"]
    echo("X", node)


def test_a_disk_that_is_away_refuses_no_file(node_at, shelf, many, monkeypatch):
    gone, failing, sent = many(3)
    gone.unlink()
    original = Association.send_c_store

    def send_c_store(association, path):
        if path == failing:
            raise OSError(5, "Input/output error")
        return original(association, path)

    monkeypatch.setattr(Association, "send_c_store", send_c_store)
    found = {one.path: (one.outcome, one.reason) for one in send("X", node_at(), [gone, failing, sent])}
    assert found == {
        gone: ("later", "the file cannot be read now (No such file or directory)"),
        failing: ("later", "the file cannot be read now (Input/output error)"),
        sent: ("stored", ""),
    }


def test_a_connection_that_breaks_tells_the_file_in_the_air_from_those_behind(node_at, many, monkeypatch):
    def broken(_node, event):
        event.assoc.abort()
        return 0x0000

    monkeypatch.setattr(Node, "_store", broken)
    assert [one.outcome for one in send("X", node_at(), many(3))] == ["later", "unsent", "unsent"]


def test_other_modalities_are_refused(node_at, shelf, image, tmp_path):
    other = pydicom.dcmread(image)
    other.Modality = "CT"
    other.save_as(tmp_path / "as-dx.dcm")
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
    other.save_as(tmp_path / "as-ct.dcm")
    node = node_at()
    found = {delivery.path.name: delivery for delivery in send("X", node, [tmp_path / "as-dx.dcm", image])}
    assert found["as-dx.dcm"].reason == f"the peer answered 0x{OTHER_MODALITY:04X}"
    assert found[image.name].outcome == "stored"
    (alone,) = send("X", node, [tmp_path / "as-ct.dcm"])
    assert (alone.outcome, alone.reason) == ("refused", "the peer takes no such object in this transfer syntax")
    assert len(shelf.contents) == 1


def test_only_who_is_on_the_list_and_calls_the_right_title(node_at, shelf, image):
    node = node_at(
        callers=[{"ae_title": "XRAY1", "networks": ["127.0.0.0/8"]}, {"ae_title": "FAR", "networks": ["10.0.0.0/8"]}]
    )
    assert next(iter(send("XRAY1", node, [image]))).outcome == "stored"
    for title in ("STRANGER", "FAR"):
        with pytest.raises(PeerError, match="refused the association"):
            list(send(title, node, [image]))
    with pytest.raises(PeerError, match="refused the association"):
        echo("XRAY1", node.model_copy(update={"ae_title": "OTHER"}))
    assert len(shelf.contents) == 1


def test_an_archive_that_is_asked_to_commit_may_answer_and_do_nothing_else(node_at, shelf, image):
    answers = []
    archive = {"name": "a", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    asked, other = archive | {"commitment": True}, archive | {"name": "b", "ae_title": "OTHER"}
    listed = {"callers": [{"ae_title": "XRAY1"}], "peers": [asked, other]}
    node = node_at(committed=answers.append, **listed)
    assert report("PACS", node, "1.2.3", ["1.2.4"]) == 0x0000
    assert [(one.transaction_uid, one.stored) for one in answers] == [("1.2.3", ("1.2.4",))]
    (delivery,) = send("PACS", node, [image])
    assert (delivery.outcome, delivery.reason) == ("refused", f"the peer answered 0x{NOT_AUTHORIZED:04X}")
    with pytest.raises(PeerError, match="refused the association"):
        echo("OTHER", node)
    with pytest.raises(PeerError, match="refused the association"):
        echo("PACS", node_at(**listed))
    also = {"ae_title": "PACS", "networks": ["127.0.0.0/8"]}
    sender = node_at(committed=answers.append, callers=[also], peers=[asked])
    assert next(iter(send("PACS", sender, [image]))).outcome == "stored"
    assert len(shelf.contents) == 1


def test_who_cannot_be_judged_is_not_let_in(node_at, monkeypatch):
    def broken(*_: object) -> bool:
        raise RuntimeError

    monkeypatch.setattr(NodeSettings, "admits", broken)
    with pytest.raises(PeerError, match="refused the association"):
        echo("XRAY1", node_at())


def test_too_large_an_instance_and_too_many_callers(node_at, shelf, image):
    node = node_at(max_instance_bytes=1000)
    (delivery,) = send("X", node, [image])
    assert (delivery.outcome, delivery.reason) == ("refused", f"the peer answered 0x{TOO_LARGE:04X}")
    assert not shelf.contents
    narrow = node_at(max_associations=1)
    entity = ApplicationEntity("X")
    entity.add_requested_context("1.2.840.10008.1.1")
    held = entity.associate(narrow.host, narrow.port, ae_title="CXRSCREEN")
    assert held.is_established
    with pytest.raises(PeerError):
        echo("Y", narrow)
    held.release()


def test_twenty_callers_at_once(node_at, shelf, many):
    node = node_at()
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda path: next(iter(send("X", node, [path], timeout=120))).outcome, many(20)))
    assert found == ["stored"] * 20
    assert len(set(shelf.contents)) == 20


def test_strange_bytes_leave_it_alive(node_at, shelf, image, send_damaged, monkeypatch):
    node = node_at()
    rng = random.Random(5)
    recorded = _associate_request()
    for number in range(16):
        content = bytearray(recorded if number % 2 else rng.randbytes(200))
        for _ in range(number // 2):
            content[rng.randrange(len(content))] = rng.randrange(256)
        with socket.create_connection((node.host, node.port), 5) as caller:
            caller.sendall(content)
    for _ in range(16):
        assert send_damaged(node, rng) is not None
    monkeypatch.undo()
    echo("X", node)
    before = len(shelf.contents)
    assert next(iter(send("X", node, [image]))).outcome == "stored"
    assert len(shelf.contents) == before + 1


def test_a_data_set_that_cannot_be_read_is_said(node_at, send_damaged):
    assert send_damaged(node_at()) == CANNOT_UNDERSTAND


def test_connections_that_ask_for_nothing_take_nobody_s_place(node_at):
    node = node_at(max_associations=2)
    for _ in range(6):
        socket.create_connection((node.host, node.port)).close()
    with socket.create_connection((node.host, node.port)):
        echo("X", node)


def test_an_address_that_is_taken_is_said(node_at):
    node = node_at()
    with pytest.raises(NodeSettingsError, match="cannot listen"):
        Node(NodeSettings(port=node.port), lambda content, caller: None)


@pytest.fixture
def send_damaged(image, tmp_path, monkeypatch):
    """Send an image of which bytes behind the file meta information were changed; give the node's answer."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    content = image.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")

    def send_it(node, rng=None):
        damaged = bytearray(content[:4000])
        for _ in range(0 if rng is None else rng.randrange(1, 40)):
            damaged[rng.randrange(start, len(damaged))] = rng.randrange(256)
        if rng is None:
            damaged[start:] = b"\xff" * 9
        (tmp_path / "damaged.dcm").write_bytes(damaged)
        entity = ApplicationEntity("X")
        entity.add_requested_context(uid.DigitalXRayImageStorageForPresentation, uid.ExplicitVRLittleEndian)
        association = entity.associate(node.host, node.port, ae_title="CXRSCREEN")
        answer = association.send_c_store(tmp_path / "damaged.dcm")
        association.abort()
        return answer.get("Status")

    return send_it


def _associate_request():
    """The bytes of a sound A-ASSOCIATE-RQ, as a caller sends them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        entity = ApplicationEntity("X")
        entity.acse_timeout = 0.2
        entity.add_requested_context("1.2.840.10008.1.1")
        with ThreadPoolExecutor(1) as pool:
            calling = pool.submit(entity.associate, "127.0.0.1", server.getsockname()[1], ae_title="CXRSCREEN")
            connection, _ = server.accept()
            with connection:
                content = connection.recv(65536)
            calling.result(30)
    return content
