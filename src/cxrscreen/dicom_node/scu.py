"""Calls to a peer: C-ECHO, C-STORE of files, and the request for storage commitment."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from cxrscreen.dicom_node.instance import PROCESSING_FAILURE
from cxrscreen.dicom_node.scp import Commitment, take_report
from cxrscreen.dicom_node.security import client_context
from cxrscreen.dicom_node.settings import Peer
from cxrscreen.errors import CxrscreenError
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.report.dicom.identity import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
_config.LOG_HANDLER_LEVEL = "none"

MOST_CONTEXTS: Final = 120
"""Presentation contexts of one association; DICOM allows 128."""
ANSWER_SECONDS: Final = 1.0
"""How long the association of a request for storage commitment is kept, since the answer may come on it."""
_REQUEST: Final = 1
_NO_CONTEXT: Final = "the peer takes no such object in this transfer syntax"
_PLAIN: Final = (str(uid.ExplicitVRLittleEndian), str(uid.ImplicitVRLittleEndian))


class PeerError(CxrscreenError):
    """A peer that cannot be reached, refuses the association, or answers wrongly; worth another try later."""


class NothingTakenError(PeerError):
    """A peer that is there, and takes no object of the kinds that it was offered."""


@dataclass(frozen=True)
class Delivery:
    """What came of one file.

    Parameters
    ----------
    path
        The file.
    outcome
        ``"stored"``: the peer has it. ``"refused"``: it does not want it, and will not later. ``"later"``: it can not
        take it now, or the file cannot be read now. ``"unsent"``: the connection broke before its turn came.
    reason
        In words, with the status of the peer; empty where stored.
    """

    path: Path
    outcome: Literal["stored", "refused", "later", "unsent"]
    reason: str = ""


def echo(own_title: str, peer: Peer, *, timeout: float = 10.0) -> None:
    """Ask a peer whether it is there (C-ECHO).

    Raises
    ------
    PeerError
        If it is not, or does not answer as it should.
    """
    with _association(own_title, peer, [(Verification, (uid.ImplicitVRLittleEndian,))], timeout) as association:
        status = association.send_c_echo()
        if status.get("Status") != 0x0000:
            raise PeerError(f"The peer {peer.name} did not answer the echo; ask its administrator.")


def send(own_title: str, peer: Peer, paths: Sequence[Path], *, timeout: float = 30.0) -> Iterator[Delivery]:
    """Send files over one association (C-STORE), in their order.

    Parameters
    ----------
    own_title
        The calling title.
    peer
        Where to.
    paths
        DICOM files; at most :data:`MOST_CONTEXTS` kinds of objects and transfer syntaxes.
    timeout
        Of a silent connection, seconds.

    Yields
    ------
    Delivery
        For each file, as soon as it is known; where the connection breaks, the rest come as ``"unsent"``.

    Raises
    ------
    PeerError
        If the peer cannot be reached or refuses the association. One that takes none of the kinds is no error: each
        file is refused.
    """
    readable: list[tuple[Path, tuple[str, str]]] = []
    for path in paths:
        try:
            readable.append((path, _kind(path)))
        except OSError as error:
            yield _unreadable(path, error)
        except Exception:
            yield Delivery(path, "refused", "the file cannot be read as DICOM")
    wanted = list(dict.fromkeys((storage, _offered(syntax)) for _, (storage, syntax) in readable))[:MOST_CONTEXTS]
    if not wanted:
        return
    try:
        with _association(own_title, peer, wanted, timeout) as association:
            for path, kind in readable:
                yield _stored(association, path, kind)
    except NothingTakenError:
        for path, _ in readable:
            yield Delivery(path, "refused", _NO_CONTEXT)


def request_commitment(
    own_title: str,
    peer: Peer,
    transaction_uid: str,
    instances: Sequence[tuple[str, str]],
    *,
    committed: Callable[[Commitment], object] | None = None,
    timeout: float = 30.0,
) -> None:
    """Ask a peer to commit itself to instances (N-ACTION).

    Its answer comes to the node later, or at once on the same association (DICOM PS3.4 J.3).

    Parameters
    ----------
    own_title
        The calling title, by which the peer knows where to send the answer.
    peer
        Which holds the instances.
    transaction_uid
        New for each request.
    instances
        Pairs of SOP class and SOP instance UID.
    committed
        Takes an answer that comes on the same association, in another thread; None: such a one is not taken.
    timeout
        Of a silent connection, seconds.

    Raises
    ------
    PeerError
        If the peer cannot be reached, offers no storage commitment, or refuses the request.
    """
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = [_reference(*pair) for pair in instances]
    wanted = [(StorageCommitmentPushModel, (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian))]
    reported, acknowledged = threading.Event(), threading.Event()

    def report(event: Event) -> tuple[int, None]:
        status = PROCESSING_FAILURE if committed is None else take_report(event, committed)
        reported.set()
        return status, None

    def sent(_event: Event) -> None:
        # What goes out behind the report is our word that it was taken; a release must not overtake it.
        if reported.is_set():
            acknowledged.set()

    handlers: list[EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, report), (evt.EVT_PDU_SENT, sent)]
    with _association(own_title, peer, wanted, timeout, handlers) as association:
        status, _ = association.send_n_action(
            request, _REQUEST, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        if status.get("Status") != 0x0000:
            raise PeerError(f"The peer {peer.name} refused the request for storage commitment; ask its administrator.")
        if committed is not None:
            acknowledged.wait(ANSWER_SECONDS)


@contextmanager
def _association(
    own_title: str,
    peer: Peer,
    wanted: Sequence[tuple[str, Sequence[str]]],
    timeout: float,
    handlers: Sequence[EventHandlerType] = (),
) -> Iterator[Association]:
    entity = ApplicationEntity(own_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout
    for abstract, syntaxes in wanted:
        entity.add_requested_context(abstract, list(syntaxes))
    tls = None if peer.tls is None else (client_context(peer.tls), peer.host)
    association = entity.associate(
        peer.host, peer.port, ae_title=peer.ae_title, tls_args=tls, evt_handlers=list(handlers)
    )
    if not association.is_established:
        if association.is_rejected:
            raise PeerError(f"The peer {peer.name} refused the association: check both AE titles and its list.")
        if association.rejected_contexts and not association.accepted_contexts:
            # It said yes, and to each kind no: pynetdicom then gives up what it could not use.
            raise NothingTakenError(f"The peer {peer.name} takes nothing of what it is offered; ask its administrator.")
        raise PeerError(f"The peer {peer.name} cannot be reached: check host, port and TLS.")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _stored(association: Association, path: Path, kind: tuple[str, str]) -> Delivery:
    storage, syntax = kind
    accepted = {str(one.transfer_syntax[0]) for one in association.accepted_contexts if one.abstract_syntax == storage}
    if not association.is_established:
        return Delivery(path, "unsent", "the connection was lost")
    if not accepted & set(_offered(syntax)):
        return Delivery(path, "refused", _NO_CONTEXT)
    try:
        with without_warnings():
            status = association.send_c_store(path).get("Status")
    except OSError as error:
        return _unreadable(path, error)
    except Exception as error:
        if association.is_established:
            return Delivery(path, "refused", f"the file cannot be sent ({type(error).__name__})")
        status = None
    if status is None:
        # What is left of the connection would mistake a late answer for that to the next file.
        association.abort()
    return _answered(path, status)


def _answered(path: Path, status: int | None) -> Delivery:
    if status is None:
        return Delivery(path, "later", "the peer did not answer")
    # Warnings (Bxxx) say that the peer has it, with something changed or dropped.
    if status == 0x0000 or status & 0xF000 == 0xB000:
        return Delivery(path, "stored")
    said = f"the peer answered 0x{status:04X}"
    lasting = status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000 or status in (0x0117, 0x0122, 0x0124)
    return Delivery(path, "refused" if lasting else "later", said)


def _unreadable(path: Path, error: OSError) -> Delivery:
    # The disk's fault, not the file's: it is not given up for it.
    return Delivery(path, "later", f"the file cannot be read now ({error.strerror or type(error).__name__})")


def _offered(syntax: str) -> tuple[str, ...]:
    """Uncompressed objects are turned into the one that every peer must know, where it knows no other."""
    return (syntax, *(plain for plain in _PLAIN if syntax in _PLAIN and plain != syntax))


def _kind(path: Path) -> tuple[str, str]:
    with without_warnings():
        header = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    return str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item
