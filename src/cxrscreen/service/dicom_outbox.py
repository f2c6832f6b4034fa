"""The outbox of one peer in the database: what :class:`cxrscreen.dicom_node.sender.Sender` sends."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, CursorResult, or_, select, update
from sqlalchemy.orm import Session

from cxrscreen.dicom_node.backoff import backoff, patience
from cxrscreen.dicom_node.outbox import NEVER_ANSWERED, NOT_ANSWERED, NOT_KEPT, SILENCES
from cxrscreen.dicom_node.scp import Commitment
from cxrscreen.dicom_node.sender import BATCH
from cxrscreen.service.context import Context
from cxrscreen.service.store.columns import LONGEST_REASON
from cxrscreen.service.store.exchange import Delivery, Instance

HOLD: Final = timedelta(minutes=5)
"""Silence after which another server's sender takes what this one had in hand."""


class DatabaseOutbox:
    """The deliveries to one peer; see :class:`cxrscreen.dicom_node.outbox.Outbox`.

    Parameters
    ----------
    context
        The store.
    peer
        The peer's name.
    holder
        Who sends; see :func:`cxrscreen.service.holder.own_holder`.
    """

    def __init__(self, context: Context, peer: str, holder: str) -> None:
        self._context, self._holder = context, holder[:128]
        self._mine = Delivery.destination == f"peer:{peer}"

    def pending(self) -> tuple[Path, ...]:
        """List the next files to send, held for this sender."""
        now = self._context.now()
        free = or_(Delivery.held_until.is_(None), Delivery.held_until < now, Delivery.holder == self._holder)
        due = (self._mine, Delivery.state == "pending", Delivery.not_before <= now, free)
        # Asked without a turn to write, since this is asked every second and mostly for nothing.
        with self._context.database.reading() as session:
            if session.scalar(select(Delivery.id).where(*due).limit(1)) is None:
                return ()
        with self._context.database.writing() as session:
            found = session.execute(
                select(Delivery, Instance.sha256)
                .join(Instance, Delivery.instance_id == Instance.id)
                .where(*due)
                .order_by(Delivery.created_at, Delivery.position, Delivery.id)
                .limit(BATCH)
                .with_for_update(skip_locked=True, of=Delivery)
            ).all()
            for delivery, _ in found:
                delivery.holder, delivery.held_until = self._holder, now + HOLD
            return tuple(self._context.files.path(sha256) for _, sha256 in found)

    def sent(self, path: Path) -> None:
        """Note that the peer has a file."""
        self._note(path, state="sent", reason=None, ended_at=self._context.now())

    def refused(self, path: Path, reason: str) -> None:
        """Note that the peer will not have a file."""
        self._note(path, state="refused", reason=reason[:1024], ended_at=self._context.now())

    def later(self, path: Path, reason: str) -> int:
        """Note why a file was not taken; it is pending again later with each time. Return how often it failed."""
        now = self._context.now()
        with self._context.database.writing() as session:
            waiting = (self._mine, Delivery.state == "pending", _named(path))
            found = session.scalars(select(Delivery).where(*waiting).with_for_update(of=Delivery)).all()
            for delivery in found:
                _put_off(delivery, reason, now)
            return max((delivery.attempts for delivery in found), default=0)

    def awaiting(self, transaction_uid: str, paths: Sequence[Path]) -> None:
        """Note which files the peer is asked to commit itself to."""
        for path in paths:
            self._note(path, state="awaiting", transaction_uid=transaction_uid, not_before=self._context.now())

    def committed(self, answer: Commitment) -> bool:
        """Note the peer's answer; what it failed to keep is pending again, for later. False: no such request.

        An answer that comes late is taken until the peer is asked again.
        """
        asked = (self._mine, Delivery.transaction_uid == answer.transaction_uid)
        open_ = Delivery.state.in_(("pending", "awaiting"))
        now = self._context.now()
        with self._context.database.writing() as session:
            kept = _change(
                session, *asked, open_, Delivery.key.in_(answer.stored), state="sent", reason=None, ended_at=now
            )
            waiting = (*asked, Delivery.state == "awaiting")
            failed = session.scalars(select(Delivery).where(*waiting).with_for_update(of=Delivery)).all()
            for delivery in failed:
                delivery.state, delivery.transaction_uid = "pending", None
                # Later with each failure: what an archive never commits itself to would go to it without a pause.
                _put_off(delivery, NOT_KEPT, now)
            return kept + len(failed) > 0

    def overdue(self, seconds: float) -> int:
        """Make what has waited so long for an answer pending again, for later; return how many files.

        The wait is longer with each silence in a row, and what was asked for so often is refused.
        """
        now = self._context.now()
        late = Delivery.not_before <= now - timedelta(seconds=seconds)
        waiting = (self._mine, Delivery.state == "awaiting", late)
        with self._context.database.reading() as session:
            if session.scalar(select(Delivery.id).where(*waiting).limit(1)) is None:
                return 0
        with self._context.database.writing() as session:
            found = session.scalars(select(Delivery).where(*waiting).with_for_update(of=Delivery)).all()
            return sum(_reopened(delivery, seconds, now) for delivery in found)

    def settle(self) -> int:
        """Count what waits for an answer as sent: the peer took it, and is asked no more. Return how many files."""
        waiting = (self._mine, Delivery.state == "awaiting")
        with self._context.database.writing() as session:
            return _change(session, *waiting, state="sent", reason=None, ended_at=self._context.now())

    def _note(self, path: Path, **values: Any) -> None:
        with self._context.database.writing() as session:
            _change(session, self._mine, Delivery.state == "pending", _named(path), held_until=None, **values)


def _named(path: Path) -> ColumnElement[bool]:
    return Delivery.instance_id.in_(select(Instance.id).where(Instance.sha256 == path.name))


def _put_off(delivery: Delivery, reason: str, now: datetime) -> None:
    delivery.attempts += 1
    delivery.reason, delivery.held_until = reason[:LONGEST_REASON], None
    delivery.not_before = now + timedelta(seconds=backoff(delivery.attempts))


def _reopened(delivery: Delivery, seconds: float, now: datetime) -> bool:
    """Make one that was asked for in vain pending again, or give it up; whether it is pending."""
    silences = delivery.attempts if delivery.reason == NOT_ANSWERED else 0
    if now - delivery.not_before < timedelta(seconds=patience(seconds, silences)):
        return False
    if silences + 1 >= SILENCES:
        delivery.state, delivery.transaction_uid = "refused", None
        delivery.attempts, delivery.reason, delivery.ended_at = silences + 1, NEVER_ANSWERED, now
        return False
    # The request is still known by its transaction, so that an answer that comes late counts.
    delivery.state, delivery.attempts = "pending", silences
    _put_off(delivery, NOT_ANSWERED, now)
    return True


def _change(session: Session, *conditions: ColumnElement[bool], **values: Any) -> int:
    changed = session.execute(
        update(Delivery).where(*conditions).values(**values).execution_options(synchronize_session=False)
    )
    return cast("CursorResult[object]", changed).rowcount
