"""What brings an outbox to its peer, however often it has to try."""

import logging
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pydicom

from cxrscreen.dicom_node.backoff import backoff
from cxrscreen.dicom_node.outbox import Outbox
from cxrscreen.dicom_node.scu import PeerError, request_commitment, send
from cxrscreen.dicom_node.settings import Peer
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.report.dicom.identity import derived_uid

_LOG = logging.getLogger(__name__)

BATCH: Final = 50
"""Files in one association."""
REFUSALS: Final = 3
"""A file that the peer will not have is tried so often, since some peers say so while they start."""


class Sender:
    """Sends an outbox to its peer, again and again, until it is told to stop.

    Parameters
    ----------
    own_title
        The calling title.
    peer
        Where to.
    outbox
        What is to be sent.
    wake
        Set it when something was put in; None: only the polling notices.
    """

    def __init__(self, own_title: str, peer: Peer, outbox: Outbox, wake: threading.Event | None = None) -> None:
        self._own_title, self._peer, self._outbox = own_title, peer, outbox
        self._wake = wake or threading.Event()
        self._refusals: Counter[str] = Counter()

    def run(self, stop: threading.Event, *, poll_seconds: float = 1.0) -> None:
        """Send until stopped; nothing that happens ends it.

        Parameters
        ----------
        stop
            Ends it, between two files at the latest.
        poll_seconds
            How often to look when nobody wakes it.
        """
        failed = 0
        while not stop.is_set():
            try:
                later = self.once(stop.is_set)
            except PeerError as error:
                later = True
                _LOG.warning("%s", error)
            except Exception as error:
                later = True
                _LOG.error("sending to %s failed (%s)", self._peer.name, type(error).__name__)
            failed = failed + 1 if later else 0
            if later:
                stop.wait(backoff(failed, random.random()))
            else:
                self._wake.wait(poll_seconds)
                self._wake.clear()

    def once(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Send what is pending, once.

        Returns
        -------
        bool
            Whether something is left that has to be tried later.

        Raises
        ------
        PeerError
            If the peer cannot be reached; everything stays pending.
        """
        later = False
        if self._peer.commitment:
            self._outbox.overdue(self._peer.commitment_seconds)
        while not stopped():
            pending = list(self._outbox.pending())[:BATCH]
            if not pending:
                return later
            stored = []
            for delivery in send(self._own_title, self._peer, pending):
                if delivery.outcome == "stored":
                    stored.append(delivery.path)
                    if not self._peer.commitment:
                        self._outbox.sent(delivery.path)
                elif delivery.outcome == "refused" and self._is_final(delivery.path.name):
                    _LOG.warning("%s refused a result for good: %s", self._peer.name, delivery.reason)
                    self._outbox.refused(delivery.path, f"{self._peer.name} refused it: {delivery.reason}.")
                else:
                    later = True
                if stopped():
                    return True
            if stored and self._peer.commitment:
                self._ask_to_commit(stored)
            if later or not stored:
                return True
        return True

    def _is_final(self, name: str) -> bool:
        self._refusals[name] += 1
        if self._refusals[name] < REFUSALS:
            return False
        del self._refusals[name]
        return True

    def _ask_to_commit(self, stored: list[Path]) -> None:
        instances = []
        for path in stored:
            with without_warnings():
                header = pydicom.dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
            instances.append((str(header.SOPClassUID), str(header.SOPInstanceUID)))
        transaction = derived_uid("transaction", self._peer.name, *(uid for _, uid in instances), uuid.uuid4().hex)
        # Noted first: the answer can come before the request has returned.
        self._outbox.awaiting(transaction, stored)
        request_commitment(self._own_title, self._peer, transaction, instances)
