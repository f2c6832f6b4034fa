"""What brings an outbox to its peer, however often it has to try."""

import logging
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pydicom

from cxrscreen.dicom_node.backoff import backoff
from cxrscreen.dicom_node.outbox import Outbox
from cxrscreen.dicom_node.scu import Delivery, PeerError, request_commitment, send
from cxrscreen.dicom_node.settings import Peer
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.report.dicom.identity import derived_uid

_LOG = logging.getLogger(__name__)

BATCH: Final = 50
"""Files in one association."""
REFUSALS: Final = 3
"""A file that the peer will not have is tried so often, since some peers say so while they start."""
TRIES: Final = 2000
"""A file that cannot be taken now is tried so often, which with the waits between is about a week."""
_LOOK_SECONDS: Final = 0.5
"""How often to look whether to stop, in a wait that being woken ends too."""


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
        self._settled = peer.commitment

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
                broke_off = self.once(stop.is_set)
            except PeerError as error:
                broke_off = True
                _LOG.warning("%s", error)
            except Exception as error:
                broke_off = True
                _LOG.error("sending to %s failed (%s)", self._peer.name, type(error).__name__)
            failed = failed + 1 if broke_off else 0
            if broke_off:
                self._rest(stop, backoff(failed, random.random()))
            else:
                self._wake.wait(poll_seconds)
                self._wake.clear()

    def once(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Send what is pending until nothing is due.

        A file that the peer does not take waits by itself, longer with each time, so that it holds up no other.

        Returns
        -------
        bool
            Whether it broke off, because the connection did or because it was stopped.

        Raises
        ------
        PeerError
            If the peer cannot be reached; everything stays pending.
        """
        if self._peer.commitment:
            self._outbox.overdue(self._peer.commitment_seconds)
        elif not self._settled:
            # What an earlier run asked for, while commitment was set, would otherwise wait for ever.
            self._outbox.settle()
            self._settled = True
        while not stopped():
            pending = list(self._outbox.pending())[:BATCH]
            if not pending:
                return False
            stored, broken = [], False
            for delivery in send(self._own_title, self._peer, pending):
                if delivery.outcome == "stored":
                    stored.append(delivery.path)
                    if not self._peer.commitment:
                        self._outbox.sent(delivery.path)
                elif delivery.outcome == "unsent":
                    broken = True
                else:
                    self._not_taken(delivery)
                if stopped():
                    return True
            if stored and self._peer.commitment:
                self._ask_to_commit(stored)
            if broken:
                return True
        return True

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        """Wait after a failure; until there is something new, whose turn must not wait for what failed."""
        until = time.monotonic() + seconds
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if self._wake.wait(min(left, _LOOK_SECONDS)):
                break
        self._wake.clear()

    def _not_taken(self, delivery: Delivery) -> None:
        name = delivery.path.name
        tries = self._outbox.later(delivery.path, f"{self._peer.name} did not take it: {delivery.reason}.")
        if delivery.outcome == "refused":
            self._refusals[name] += 1
        if self._refusals[name] < REFUSALS and tries < TRIES:
            return
        self._refusals.pop(name, None)
        _LOG.warning("%s refused a result for good: %s", self._peer.name, delivery.reason)
        said = "refused it" if delivery.outcome == "refused" else f"did not take it in {tries} tries"
        self._outbox.refused(delivery.path, f"{self._peer.name} {said}: {delivery.reason}.")

    def _ask_to_commit(self, stored: list[Path]) -> None:
        instances, asked = [], []
        for path in stored:
            try:
                with without_warnings():
                    header = pydicom.dcmread(
                        path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True
                    )
            except FileNotFoundError:
                # The late answer to an earlier request came meanwhile: the peer has it.
                continue
            asked.append(path)
            instances.append((str(header.SOPClassUID), str(header.SOPInstanceUID)))
        if not asked:
            return
        transaction = derived_uid("transaction", self._peer.name, *(uid for _, uid in instances), uuid.uuid4().hex)
        # Noted first: the answer can come before the request has returned.
        self._outbox.awaiting(transaction, asked)
        request_commitment(self._own_title, self._peer, transaction, instances, committed=self._outbox.committed)
