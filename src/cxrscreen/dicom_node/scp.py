"""The node that others call: C-ECHO, C-STORE, and the answers of storage commitment."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Final, Self, cast

from pydicom.dataset import Dataset
from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from cxrscreen.dicom_node.instance import (
    DOES_NOT_MATCH,
    INVALID_INSTANCE,
    NOT_AUTHORIZED,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    STORED_CLASSES,
    SUCCESS,
    TOO_LARGE,
    NotTakenError,
    examine,
    is_uid,
    readable_syntaxes,
)
from cxrscreen.dicom_node.security import server_context
from cxrscreen.dicom_node.settings import NodeSettings, NodeSettingsError
from cxrscreen.report.dicom.identity import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

_LOG = logging.getLogger(__name__)
_BACKLOG: Final = 128
MOST_CONNECTIONS: Final = 500
"""Connections beside the associations."""
# Its log quotes data sets, which name patients, and whole tracebacks of what strangers send.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
_config.LOG_HANDLER_LEVEL = "none"


_UNKNOWN_CALLER: Final = (0x01, 0x01, 0x03)
"""Rejected permanent, by the user, calling AE title not recognised (DICOM PS3.8 table 9-21)."""
_TOO_MANY: Final = (0x02, 0x03, 0x02)
"""Rejected transient, by the provider, local limit exceeded."""


@dataclass(frozen=True)
class CallingPeer:
    """Who sent an instance.

    Parameters
    ----------
    ae_title
        Its calling title, as it says.
    address
        Its network address.
    """

    ae_title: str
    address: str


Received = Callable[[bytes, CallingPeer], None]
"""Takes an instance as the bytes of a DICOM file, just as it was sent; it must be durable when this returns.

Raising ``OSError`` answers "out of resources", so that the peer tries again; `NotTakenError` answers its status; any
other exception answers "processing failure".
"""


@dataclass(frozen=True)
class Commitment:
    """A peer's answer to a request for storage commitment.

    Parameters
    ----------
    transaction_uid
        Of the request.
    stored, failed
        SOP instance UIDs.
    """

    transaction_uid: str
    stored: tuple[str, ...]
    failed: tuple[str, ...]


class Node:
    """A running node; a context manager that stops it at the end.

    Parameters
    ----------
    settings
        Names, places, callers, limits.
    received
        Takes the instances; called by several threads at once.
    committed
        Takes the answers of storage commitment; None: they are refused.

    Raises
    ------
    NodeSettingsError
        If the address is taken, or the TLS files cannot be used.
    """

    def __init__(
        self, settings: NodeSettings, received: Received, committed: Callable[[Commitment], None] | None = None
    ) -> None:
        self._settings, self._received, self._committed = settings, received, committed
        entity = ApplicationEntity(settings.ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS
        entity.implementation_version_name = IMPLEMENTATION_VERSION
        entity.require_called_aet = True
        # A connection that never asks for an association counts here until it times out, though it is long closed; the
        # probes of a load balancer would shut everybody out. What is agreed is counted in `_admit`.
        entity.maximum_associations = settings.max_associations + MOST_CONNECTIONS
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = settings.timeout_seconds
        entity.add_supported_context(Verification)
        for storage in STORED_CLASSES:
            entity.add_supported_context(storage, list(readable_syntaxes()))
        if committed is not None:
            entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._report),
        ]
        tls = None if settings.tls is None else server_context(settings.tls)
        self._entity = entity
        try:
            server = entity.start_server(
                (settings.host, settings.port), block=False, evt_handlers=handlers, ssl_context=tls
            )
        except OSError as error:
            raise NodeSettingsError(
                f"The node cannot listen on {settings.host} port {settings.port} ({error.strerror}); choose another."
            ) from error
        if server is None or server.socket is None:
            raise NodeSettingsError("The node did not start; choose another address.")
        # The five connections that may wait by default are fewer than modalities that send at the same moment.
        server.socket.listen(_BACKLOG)
        self._server = server

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Take no more calls and end those that are running."""
        self._server.shutdown()
        for association in self._server.active_associations:
            if association.is_established:
                association.abort()
            elif association.dul.socket is not None:
                # Nothing was agreed with this one, so there is nothing to abort.
                association.dul.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _admit(self, event: Event) -> None:
        """Refuse a caller that is not on the list, or one too many, before anything is agreed."""
        try:
            refusal = self._refusal(event)
        except Exception as error:
            # What goes wrong in here would otherwise let the caller in.
            _LOG.error("a caller could not be judged (%s)", type(error).__name__)
            refusal = _UNKNOWN_CALLER
        if refusal is not None:
            event.assoc.acse.send_reject(*refusal)
            event.assoc.kill()

    def _refusal(self, event: Event) -> tuple[int, int, int] | None:
        request = event.assoc.requestor.primitive
        title = str(request.calling_ae_title).strip() if request is not None else ""
        # An archive that only answers requests for storage commitment need not be one that may send.
        answers = self._committed is not None and self._settings.asks_to_commit(title)
        if not answers and not self._settings.admits(title, str(event.assoc.requestor.address)):
            _LOG.warning("a caller that is not on the list was refused")
            return _UNKNOWN_CALLER
        agreed = sum(one.is_established for one in self._entity.active_associations)
        return _TOO_MANY if agreed >= self._settings.max_associations else None

    def _store(self, event: Event) -> int | Dataset:
        caller = CallingPeer(str(event.assoc.requestor.ae_title).strip(), str(event.assoc.requestor.address))
        request = cast(C_STORE, event.request)
        try:
            if not self._settings.admits(caller.ae_title, caller.address):
                raise NotTakenError(NOT_AUTHORIZED, "The caller is not on the list of those that may send")
            size = cast(BytesIO, request.DataSet).getbuffer().nbytes
            if size > self._settings.max_instance_bytes:
                raise NotTakenError(TOO_LARGE, "The instance is larger than this node takes")
            # The file meta information is made of these, so they are looked at before it is.
            if not is_uid(str(request.AffectedSOPInstanceUID or "")):
                raise NotTakenError(INVALID_INSTANCE, "The SOP instance UID is invalid")
            content = event.encoded_dataset()
            instance = examine(content)
            announced = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
            if announced != (instance.sop_class_uid, instance.sop_instance_uid):
                raise NotTakenError(DOES_NOT_MATCH, "The data set is not the instance that was announced")
            self._received(content, caller)
        except NotTakenError as refusal:
            return _status(refusal.status, str(refusal))
        except OSError as error:
            _LOG.error("an instance could not be kept (%s)", error.strerror)
            return _status(OUT_OF_RESOURCES, "The instance could not be kept; send it again later")
        except Exception as error:
            _LOG.error("an instance could not be taken (%s)", type(error).__name__)
            return _status(PROCESSING_FAILURE, "The instance could not be taken")
        return SUCCESS

    def _report(self, event: Event) -> tuple[int, None]:
        return PROCESSING_FAILURE if self._committed is None else take_report(event, self._committed), None


def take_report(event: Event, committed: Callable[[Commitment], object]) -> int:
    """Hand on what a peer reports of storage commitment (N-EVENT-REPORT).

    Parameters
    ----------
    event
        The report.
    committed
        Takes the answer.

    Returns
    -------
    int
        The status to answer.
    """
    try:
        committed(_commitment(event.event_information))
    except Exception as error:
        _LOG.error("an answer of storage commitment could not be taken (%s)", type(error).__name__)
        return PROCESSING_FAILURE
    return SUCCESS


def _status(code: int, comment: str) -> Dataset:
    status = Dataset()
    status.Status, status.ErrorComment = code, comment[:64]
    return status


def _commitment(information: Dataset) -> Commitment:
    def uids(items: Sequence[Dataset]) -> tuple[str, ...]:
        return tuple(str(item.ReferencedSOPInstanceUID) for item in items)

    return Commitment(
        transaction_uid=str(information.TransactionUID),
        stored=uids(information.get("ReferencedSOPSequence") or []),
        failed=uids(information.get("FailedSOPSequence") or []),
    )
