"""The service's node and its senders: over the loopback with pynetdicom as archive, and between real peers."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import get_args

import pydicom
import pytest
import requests
import yaml
from dicomweb_client.api import DICOMwebClient
from pydicom import uid
from pynetdicom import AE, AllStoragePresentationContexts, evt
from sqlalchemy import select

from cxrscreen.data.phantoms import TransferSyntax
from cxrscreen.dicom_node import sender as sending
from cxrscreen.dicom_node.outbox import NEVER_ANSWERED, SILENCES
from cxrscreen.dicom_node.scp import Commitment
from cxrscreen.dicom_node.scu import Delivery as Sent
from cxrscreen.dicom_node.scu import PeerError, send
from cxrscreen.dicom_node.sender import Sender
from cxrscreen.dicom_node.settings import Peer
from cxrscreen.service import dicom_outbox as module
from cxrscreen.service.dicom_exchange import exchange
from cxrscreen.service.dicom_objects import export_once
from cxrscreen.service.dicom_outbox import HOLD, DatabaseOutbox
from cxrscreen.service.store.exchange import Delivery
from cxrscreen.service.store.files import FilesError
from cxrscreen.service.store.models import Image, Study

from ..peers import Orthanc, free_port, orthanc_program, wait_for

SYNTAXES = tuple(name for name in get_args(TransferSyntax) if name != "JPEGBaseline8Bit")
OBJECTS = 6
"""Made of each image by the quick system: SEG, parametric map, two captures, GSPS, SR."""


def rows(context, table, *order):
    with context.database.reading() as session:
        return session.scalars(select(table).order_by(*order)).all()


def drain(work, context):
    count = work()
    while export_once(context):
        pass
    return count


class Archive:
    """An archive that keeps the names of what it is sent."""

    def __init__(self, port):
        self.held = []
        entity = AE("PACS")
        entity.supported_contexts = AllStoragePresentationContexts
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def _store(self, event):
        self.held.append((event.request.AffectedSOPClassUID, event.request.AffectedSOPInstanceUID))
        return 0x0000

    def stop(self):
        self._server.shutdown()


@pytest.fixture
def archive_port():
    return free_port()


@pytest.fixture
def settings(settings, archive_port):
    peer = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": archive_port}
    node = {"port": 0, "timeout_seconds": 120, "peers": [peer]}
    return type(settings)(**{**settings.model_dump(), "node": node})


@pytest.fixture
def node(context):
    """The running exchange; the peer by which to call its node."""
    stop, ports = threading.Event(), []
    thread = threading.Thread(target=exchange, args=(context, stop), kwargs={"started": ports.append})
    thread.start()
    wait_for(lambda: ports)
    yield Peer(name="node", ae_title="CXRSCREEN", host="127.0.0.1", port=ports[0])
    stop.set()
    thread.join(60)


@pytest.fixture
def files(dicom, tmp_path):
    """Write instances of one study."""

    def write(*changes):
        paths = [tmp_path / f"{number}.dcm" for number in range(1, len(changes) + 1)]
        for number, (path, change) in enumerate(zip(paths, changes, strict=True), 1):
            path.write_bytes(dicom(image_number=number, **change))
        return paths

    return write


def test_an_instance_comes_in_is_screened_and_its_results_go_out_once(
    node, context, files, work, client, archive_port, clock
):
    taken, refused = send("XRAY1", node, files({}, {"changes": {"Modality": "CT"}}))
    assert (taken.outcome, refused.reason) == ("stored", "the peer answered 0xC010")
    assert [delivery.outcome for delivery in send("XRAY1", node, [taken.path])] == ["stored"]
    assert drain(work, context) == 1
    (study,) = rows(context, Study)
    assert (study.source, study.state) == ("node", "screened")
    assert {one.state for one in rows(context, Delivery)} == {"pending"}
    archive = Archive(archive_port)
    try:
        wait_for(lambda: {one.state for one in rows(context, Delivery)} == {"sent"})
    finally:
        archive.stop()
    assert len(archive.held) == len(set(archive.held)) == OBJECTS
    assert archive.held[-1][0] == uid.ComprehensiveSRStorage
    events = client.get("/api/v1/audit-log?action=node.received").json()
    assert {(event["actor"], event["actor_kind"], event["target_id"]) for event in events} == {
        ("XRAY1", "node", rows(context, Image)[0].id)
    }


def test_a_full_disk_is_said_and_nothing_is_kept(node, context, files, monkeypatch):
    def full(_source):
        raise FilesError("A file could not be stored.")

    monkeypatch.setattr(context.files, "put", full)
    (delivery,) = send("XRAY1", node, files({}))
    assert (delivery.outcome, delivery.reason) == ("later", "the peer answered 0xA700")
    assert rows(context, Image) == []


@pytest.fixture
def queued(context, send, dicom, work):
    """Results in the outbox, and a study."""
    from cxrscreen.service.intake import Sender as Who
    from cxrscreen.service.intake import Upload, take_in

    take_in(context, [Upload(io.BytesIO(dicom()))], Who("t", "api"))
    drain(work, context)
    return rows(context, Delivery, Delivery.position)


def test_two_senders_do_not_take_the_same_and_one_that_fell_silent_is_replaced(context, queued, clock):
    one, other = DatabaseOutbox(context, "pacs", "one"), DatabaseOutbox(context, "pacs", "other")
    paths = one.pending()
    assert len(paths) == OBJECTS
    assert one.pending() == paths
    assert other.pending() == ()
    one.sent(paths[0])
    one.refused(paths[1], "it will not have it")
    clock.at += HOLD + timedelta(seconds=1)
    assert other.pending() == paths[2:]
    states = [row.state for row in rows(context, Delivery, Delivery.position)]
    assert states == ["sent", "refused", *["pending"] * (OBJECTS - 2)]


def test_what_is_not_committed_to_is_sent_again(context, queued, clock):
    outbox = DatabaseOutbox(context, "pacs", "one")
    paths = outbox.pending()
    outbox.awaiting("1.2.3", paths)
    assert outbox.pending() == ()
    assert not outbox.committed(Commitment("1.2.4", (), ()))
    for wait in (2, 4):
        assert outbox.committed(Commitment("1.2.3", tuple(row.key for row in queued[:2]), (queued[2].key,)))
        assert outbox.pending() == (), "an archive that always says no is not asked without a pause"
        clock.pass_(seconds=wait)
        assert outbox.pending() == paths[2:]
        outbox.awaiting("1.2.3", paths[2:])
    assert outbox.committed(Commitment("1.2.3", (), ()))
    clock.pass_(seconds=8)
    outbox.awaiting("1.2.5", paths[2:])
    assert outbox.overdue(100) == 0
    clock.pass_(seconds=101)
    assert outbox.overdue(100) == OBJECTS - 2
    assert outbox.pending() == ()
    clock.pass_(seconds=2)
    assert outbox.pending() == paths[2:]


def test_an_archive_that_never_answers_is_asked_less_and_less_and_given_up(context, queued, clock):
    outbox = DatabaseOutbox(context, "pacs", "one")
    waits = []
    for number in range(SILENCES):
        outbox.awaiting(f"1.2.{number}", outbox.pending())
        hours = 0
        while {row.state for row in rows(context, Delivery)} == {"awaiting"}:
            clock.pass_(seconds=3600)
            hours += 1
            outbox.overdue(3600)
        waits.append(hours)
        assert outbox.pending() == (), "not again at once"
        clock.pass_(seconds=300)
    assert waits == [1, 2, 4, 8, 16, 24, 24, 24, 24, 24]
    assert {(row.state, row.reason) for row in rows(context, Delivery)} == {("refused", NEVER_ANSWERED)}


def test_an_answer_that_comes_late_is_taken_until_it_is_asked_again(context, queued, clock):
    outbox = DatabaseOutbox(context, "pacs", "one")
    outbox.awaiting("1.2.3", outbox.pending())
    clock.pass_(seconds=101)
    assert outbox.overdue(100) == OBJECTS
    kept, failed = ([row.key for row in part] for part in (queued[:2], queued[2:]))
    assert outbox.committed(Commitment("1.2.3", tuple(kept), tuple(failed)))
    assert Counter(row.state for row in rows(context, Delivery)) == {"sent": 2, "pending": OBJECTS - 2}
    clock.pass_(seconds=2)
    outbox.awaiting("1.2.4", outbox.pending())
    assert not outbox.committed(Commitment("1.2.3", tuple(failed), ()))
    assert outbox.committed(Commitment("1.2.4", tuple(failed), ()))
    assert {row.state for row in rows(context, Delivery)} == {"sent"}


def test_what_awaits_an_answer_counts_as_sent_once_nothing_is_asked_any_more(context, queued):
    outbox = DatabaseOutbox(context, "pacs", "one")
    outbox.awaiting("1.2.3", outbox.pending())
    assert Sender("CXRSCREEN", context.settings.node.peers[0], outbox).once() is False
    assert {row.state for row in rows(context, Delivery)} == {"sent"}


def test_an_object_that_is_never_taken_holds_up_no_other_and_shows_why(context, queued, clock, client, monkeypatch):
    monkeypatch.setattr(sending, "BATCH", 2)
    monkeypatch.setattr(module, "BATCH", 2)
    stuck = {row.key for row in queued[:3]}
    tried = Counter()

    def store(_own_title, _peer, paths):
        for path in paths:
            uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
            tried[uid] += 1
            yield Sent(path, "later" if uid in stuck else "stored", "the peer answered 0x0110")

    monkeypatch.setattr(sending, "send", store)
    sender = Sender("CXRSCREEN", context.settings.node.peers[0], DatabaseOutbox(context, "pacs", "one"))
    assert sender.once() is False
    assert Counter(row.state for row in rows(context, Delivery)) == {"pending": 3, "sent": OBJECTS - 3}
    assert {tried[key] for key in stuck} == {1}
    for wait in (2, 4, 8):
        sender.once()
        clock.pass_(seconds=wait)
        sender.once()
    shown = client.get("/api/v1/deliveries", params={"state": "pending"}).json()["deliveries"]
    assert {(one["attempts"], one["reason"]) for one in shown} == {
        (4, "pacs did not take it: the peer answered 0x0110.")
    }
    monkeypatch.setattr(sending, "TRIES", 5)
    clock.pass_(seconds=16)
    sender.once()
    ended = [row for row in rows(context, Delivery) if row.key in stuck]
    assert {(row.state, row.reason) for row in ended} == {
        ("refused", "pacs did not take it in 5 tries: the peer answered 0x0110.")
    }
    stuck.clear()
    assert client.post(f"/api/v1/deliveries/{ended[0].id}/again").status_code == 200
    sender.once()
    (again,) = [row for row in rows(context, Delivery) if row.id == ended[0].id]
    assert (again.state, again.reason) == ("sent", None)


def test_a_peer_that_is_away_leaves_everything_pending(context, queued):
    sender = Sender("CXRSCREEN", context.settings.node.peers[0], DatabaseOutbox(context, "pacs", "one"))
    with pytest.raises(PeerError):
        sender.once()
    assert {row.state for row in rows(context, Delivery)} == {"pending"}


@pytest.fixture
def orthanc(tmp_path, archive_port):
    """Orthanc with DICOMweb, where it is installed."""
    program, folder = orthanc_program(), tmp_path / "orthanc"
    folder.mkdir()
    running = Orthanc(program, folder, title="PACS", port=archive_port, dicomweb=True)
    running.start()
    yield running
    running.kill()


RUN = "import sys; from pathlib import Path; from cxrscreen.service.dicom_exchange import run_exchange; \
from cxrscreen.service.settings import load_settings; run_exchange(load_settings(Path(sys.argv[1])))"


@pytest.fixture
def process(context, tmp_path):
    """The exchange as a process of its own, which can be killed."""
    port, path, log = free_port(), tmp_path / "service.yaml", (tmp_path / "exchange.log").open("ab")
    node = json.loads(context.settings.node.model_dump_json()) | {"port": port}
    path.write_text(yaml.safe_dump({"folder": str(context.settings.folder), "systems": {"quick": None}, "node": node}))
    peer = Peer(name="node", ae_title="CXRSCREEN", host="127.0.0.1", port=port)

    class Running:
        def __init__(self):
            self.peer = peer
            self.start()

        def start(self):
            self.process = subprocess.Popen([sys.executable, "-c", RUN, str(path)], stdout=log, stderr=log)

            def listens():
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    return True

            wait_for(listens)

        def kill(self):
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    running = Running()
    yield running
    running.kill()


@pytest.mark.services
def test_killed_in_the_middle_and_the_archive_too_nothing_is_lost_or_doubled(
    orthanc, process, context, files, work, clock
):
    paths = files(*({"transfer_syntax": syntax} for syntax in SYNTAXES), *({} for _ in range(6)))
    acknowledged = []

    def deliver(some):
        for path in some:
            with contextlib.suppress(PeerError):
                acknowledged.extend(one.path for one in send("M", process.peer, [path]) if one.outcome == "stored")

    deliver(paths[:4])
    # The other process has the machine's own clock.
    clock.at = datetime.now(UTC)
    drain(work, context)
    wait_for(orthanc.instances)
    sending = threading.Thread(target=deliver, args=(paths[4:],))
    sending.start()
    wait_for(lambda: len(acknowledged) > 6 or not sending.is_alive())
    process.kill()
    sending.join()
    held = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in acknowledged}
    assert held <= {image.sop_instance_uid for image in rows(context, Image)}
    orthanc.kill()
    process.start()
    deliver([path for path in paths if path not in acknowledged])
    clock.at = datetime.now(UTC)
    drain(work, context)
    orthanc.start()
    wait_for(lambda: {one.state for one in rows(context, Delivery)} == {"sent"})
    tags = orthanc.instances()
    assert len(tags) == OBJECTS * len(paths)
    assert Counter(one["SOPClassUID"] for one in tags)[uid.ComprehensiveSRStorage] == len(paths)
    assert len({one["StudyInstanceUID"] for one in tags}) == 1


@pytest.mark.services
def test_an_archive_s_own_dicomweb_gives_and_takes(orthanc, client, dicom, work, context):
    if not orthanc.has_dicomweb:
        pytest.skip("Orthanc's DICOMweb plug-in is not installed")
    archive = DICOMwebClient(f"{orthanc.url}/dicom-web", session=requests.Session())
    archive.store_instances([pydicom.dcmread(io.BytesIO(dicom()))])
    ours = f"/dicom-web/studies/{pydicom.dcmread(io.BytesIO(dicom())).StudyInstanceUID}"
    # As it comes from there: a multipart body passed on whole.
    study = requests.get(
        f"{orthanc.url}{ours}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        timeout=60,
    )
    headers = {"Content-Type": study.headers["Content-Type"]}
    assert client.post("/dicom-web/studies", content=study.content, headers=headers).status_code == 200
    drain(work, context)
    made = client.get(ours, headers={"Accept": "*/*"})
    answer = requests.post(
        f"{orthanc.url}/dicom-web/studies",
        data=made.content,
        headers={"Content-Type": made.headers["content-type"], "Accept": "application/dicom+json"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert len(archive.search_for_instances(ours.rpartition("/")[2])) == 1 + OBJECTS


def test_the_server_starts_it_beside_the_workers_where_there_is_somebody_to_speak_to(settings, monkeypatch):
    from cxrscreen.service import run
    from cxrscreen.service.dicom_exchange import run_exchange

    started = []

    class Process:
        exitcode = 0

        def __init__(self, target, args, name):
            started.append((target, args, name))

        def start(self):
            if len(started) == 2:
                stop.set()

        def is_alive(self):
            return False

        def join(self, _seconds):
            pass

    class Spawn:
        pass

    Spawn.Process = Process
    monkeypatch.setattr(run.multiprocessing, "get_context", lambda _kind: Spawn)
    stop = threading.Event()
    run._supervise(settings.model_copy(update={"workers": 1}), stop)
    assert [target for target, _, _ in started] == [run.run_worker, run_exchange]
    assert not settings.model_copy(update={"node": None}).speaks_to_others
