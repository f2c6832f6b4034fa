"""The process beside the server that speaks to other systems: the DICOM node, the senders to peers, the feeds."""

import errno
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import parent_process

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cxrscreen.dicom_node.instance import NotTakenError
from cxrscreen.dicom_node.scp import CallingPeer, Commitment, Node
from cxrscreen.dicom_node.sender import Sender as PeerSender
from cxrscreen.service.access import Principal, Role
from cxrscreen.service.context import Context, open_context
from cxrscreen.service.dicom_outbox import DatabaseOutbox
from cxrscreen.service.dicom_store import store_instance
from cxrscreen.service.feed import run_feed
from cxrscreen.service.feed_targets import feeds_of
from cxrscreen.service.holder import own_holder
from cxrscreen.service.intake import Sender
from cxrscreen.service.logs import set_up_logs
from cxrscreen.service.settings import Settings
from cxrscreen.service.store import audit
from cxrscreen.service.store.files import FilesError
from cxrscreen.service.worker import orphaned

_LOG = structlog.get_logger(__name__)


def run_exchange(settings: Settings, _number: int = 0) -> None:
    """Speak to other systems until SIGTERM, or until the server that started the process is gone.

    Whatever is received is durable before it is acknowledged, and whatever is to be sent is in the database, so that
    the process may be killed at any moment and started again.

    Parameters
    ----------
    settings
        As of the server.
    """
    set_up_logs(settings.log_level, settings.log_format)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C reaches every process of the terminal; the server tells this one to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN if parent_process() is not None else lambda *_: stop.set())
    context = open_context(settings)
    try:
        exchange(context, stop)
    finally:
        context.close()


def exchange(context: Context, stop: threading.Event, *, started: Callable[[int | None], None] | None = None) -> None:
    """Run the node, the senders and the feeds until told to stop.

    Parameters
    ----------
    context
        The store.
    stop
        Ends it.
    started
        Called with the node's port once callers are taken; None where there is no node.

    Raises
    ------
    NodeSettingsError
        If the node cannot listen.
    OSError
        If the service's folder cannot be written.
    """
    settings = context.settings
    with ExitStack() as running:
        holder = running.enter_context(own_holder(settings.folder))
        threads: list[threading.Thread] = []
        port = None
        if settings.node is not None:
            outboxes = {peer.name: DatabaseOutbox(context, peer.name, holder) for peer in settings.node.peers}

            def committed(answer: Commitment) -> None:
                if not any(outbox.committed(answer) for outbox in outboxes.values()):
                    _LOG.warning("an answer of storage commitment belongs to no request")

            asks = any(peer.commitment for peer in settings.node.peers)
            node = running.enter_context(
                Node(settings.node, lambda *given: receive(context, *given), committed if asks else None)
            )
            port = node.port
            for peer in settings.node.peers:
                sender = PeerSender(settings.node.ae_title, peer, outboxes[peer.name])
                threads.append(threading.Thread(target=sender.run, args=(stop,), name=f"send-{peer.name}", daemon=True))
        for feed in feeds_of(settings):
            threads.append(
                threading.Thread(
                    target=run_feed, args=(context, feed, holder, stop), name=f"feed-{feed.name}", daemon=True
                )
            )
        for thread in threads:
            thread.start()
            running.callback(thread.join, 15.0)
        # Unwound last to first: whatever ends this ends the threads before they are waited for.
        running.callback(stop.set)
        _LOG.info("exchange ready", port=port, process=os.getpid(), threads=len(threads))
        if started is not None:
            started(port)
        while not stop.wait(0.5) and not orphaned():
            pass


def receive(context: Context, content: bytes, caller: CallingPeer) -> None:
    """Take an instance that came by C-STORE in; durable, and queued for screening, when this returns.

    Parameters
    ----------
    context
        The store.
    content, caller
        See :data:`cxrscreen.dicom_node.scp.Received`.

    Raises
    ------
    NotTakenError
        If it is none to take.
    OSError
        If disk or database cannot take it; the peer is asked to send it again.
    """
    try:
        stored = store_instance(context, content, Sender(caller.ae_title, "node"))
        audit.record(
            context,
            Principal(caller.ae_title, Role.READER, "node"),
            "node.received",
            "image",
            stored.image_id,
            outcome="done" if stored.failure is None else "refused",
        )
    except (FilesError, SQLAlchemyError) as error:
        raise OSError(errno.EIO, type(error).__name__) from error
    if stored.failure is not None:
        raise NotTakenError(stored.failure, stored.sentence, stored.instance)
