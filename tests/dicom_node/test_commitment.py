"""Results, and an archive that commits itself to them: over the loopback, with pynetdicom as archive."""

import re
import threading
from pathlib import Path

import pytest
import yaml
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from cxrscreen.dicom_node.outbox import FolderOutbox
from cxrscreen.dicom_node.sender import REFUSALS, Sender
from cxrscreen.dicom_node.settings import Peer, checked_settings

from ..peers import wait_for
from .conftest import report

STATEMENT = Path(__file__).parents[2] / "docs" / "dicom-conformance.md"


class Archive:
    """An archive that keeps the names of what it is sent and asked for."""

    def __init__(self, contexts, *, commits=True):
        self.stored, self.asked, self.statuses, self.answers_at_once = [], [], [], False
        entity = AE("PACS")
        entity.supported_contexts = contexts
        if commits:
            entity.add_supported_context(StorageCommitmentPushModel)
        self._server = entity.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._asked)],
        )
        self.port = self._server.server_address[1]

    def _store(self, event):
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def _asked(self, event):
        information = event.action_information
        uids = [str(item.ReferencedSOPInstanceUID) for item in information.ReferencedSOPSequence]
        self.asked.append((str(information.TransactionUID), uids))
        if self.answers_at_once:
            threading.Thread(target=self._answer, args=(event.assoc, information)).start()
        return 0x0000, None

    def _answer(self, association, information):
        answer = Dataset()
        answer.TransactionUID = information.TransactionUID
        answer.ReferencedSOPSequence = information.ReferencedSOPSequence
        status, _ = association.send_n_event_report(
            answer, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        self.statuses.append(status.get("Status"))

    def stop(self):
        self._server.shutdown()


@pytest.fixture
def archive():
    made = Archive(AllStoragePresentationContexts)
    yield made
    made.stop()


@pytest.fixture
def outbox(tmp_path, image):
    made = FolderOutbox(tmp_path / "outbox")
    made.put(image)
    return made


def states(outbox):
    return {state.name: len(list(state.rglob("*.dcm"))) for state in outbox.root.iterdir()}


@pytest.mark.parametrize("example", [0, 1])
def test_the_settings_of_the_statement_let_the_archive_answer_by_itself(archive, outbox, node_at, example):
    section = STATEMENT.read_text(encoding="utf-8").partition("## 8. Settings")[2]
    written = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[example])
    content = {**written.get("node", written), "host": "127.0.0.1", "tls": None}
    content["peers"][0] |= {"host": "127.0.0.1", "port": archive.port}
    settings = checked_settings("of the statement", **content)
    (peer,) = settings.peers
    assert (peer.commitment, settings.admits(peer.ae_title, "10.1.0.1")) == (True, False)
    given = {name: getattr(settings, name) for name in ("callers", "peers", "ae_title")}
    node = node_at(committed=outbox.committed, **given)
    Sender(settings.ae_title, peer, outbox).once()
    ((transaction, uids),) = archive.asked
    assert states(outbox)["awaiting-commitment"] == 1
    assert report("PACS", node, transaction, uids) == 0x0000
    assert states(outbox)["sent"] == 1


def test_an_answer_on_the_association_of_the_request_is_taken(archive, outbox):
    archive.answers_at_once = True
    peer = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=archive.port, commitment=True)
    assert Sender("ME", peer, outbox).once() is False
    wait_for(lambda: archive.statuses)
    assert archive.statuses == [0x0000]
    assert states(outbox) == {"pending": 0, "awaiting-commitment": 0, "sent": 1, "refused": 0}


def test_a_result_of_a_kind_that_the_archive_does_not_know_is_given_up_and_slows_no_other(tmp_path, image):
    now = [10.0**9]
    outbox = FolderOutbox(tmp_path / "outbox", lambda: now[0])
    outbox.put(image)
    other = [one for one in AllStoragePresentationContexts if one.abstract_syntax.name.startswith("CT ")]
    archive = Archive(other, commits=False)
    sender = Sender("ME", Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=archive.port), outbox)
    try:
        for _ in range(REFUSALS):
            assert sender.once() is False, "the peer is there, so nothing waits for it"
            now[0] += 300
    finally:
        archive.stop()
    assert states(outbox) == {"pending": 0, "awaiting-commitment": 0, "sent": 0, "refused": 1}
    (reason,) = (outbox.root / "refused").glob("*.txt")
    assert reason.read_text() == "pacs refused it: the peer takes no such object in this transfer syntax.\n"
