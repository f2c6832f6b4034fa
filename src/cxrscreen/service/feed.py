"""The feed: who is to know that a study has been screened is told so, signed, and again until they have it."""

import json
import logging
import threading
import uuid
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import httpx2
import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, aliased

from cxrscreen import __version__
from cxrscreen.dicom_node.backoff import backoff
from cxrscreen.service.context import Context
from cxrscreen.service.feed_targets import Target
from cxrscreen.service.logs import places_of
from cxrscreen.service.settings import Settings
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.exchange import Delivery, Export, Feed
from cxrscreen.service.store.models import Image, Result, Study

_LOG = structlog.get_logger(__name__)
# Its lines hold addresses; ours name the feed.
logging.getLogger("httpx2").setLevel(logging.WARNING)

_SPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:cxrscreen:event")
_SECONDS: Final = 10.0
_HOLD: Final = timedelta(seconds=60)
_MOST_TRIES: Final = 5
"""So often what is to be sent of a study is made, until it is set aside."""
_LATE: Final = timedelta(minutes=10)
"""How long after its moment a study's end may appear in the database: clocks differ, transactions last."""

Problem = tuple[str, bool]
"""Why something was not sent, in our words, and whether that is for good."""


def run_feed(context: Context, feed: Target, holder: str, stop: threading.Event, *, poll_seconds: float = 1.0) -> None:
    """Announce and deliver until told to stop; nothing that happens ends it.

    Parameters
    ----------
    context
        The store.
    feed
        Where to.
    holder
        Who sends; see :func:`cxrscreen.service.holder.own_holder`.
    stop
        Ends it.
    poll_seconds
        How often to look.
    """
    with httpx2.Client(timeout=_SECONDS, follow_redirects=False) as client:
        while not stop.is_set():
            try:
                announce(context, feed)
                more = deliver_once(context, feed, holder, client)
            except Exception as error:
                # Whatever it is, the next study has to be told of, and nobody would notice that the thread has ended.
                more = False
                _LOG.error("feed failed", feed=feed.name, error=type(error).__name__, places=places_of(error))
            if not more:
                stop.wait(poll_seconds)


def announce(context: Context, feed: Target) -> int:
    """Queue what has to be told of studies that ended since; each end of a study is told once.

    A study is told of when nothing of it has come for ``feed_quiet_seconds``, all its jobs have ended and its DICOM
    objects are made. What ended before a feed was first seen is not told. What is told takes the place of whatever
    older still waits to be told of the study. Where it cannot be made, that is tried again when its turn comes.

    Returns
    -------
    int
        How many were queued.
    """
    now = context.now()
    before = now - timedelta(seconds=context.settings.feed_quiet_seconds)
    with context.database.reading() as session:
        row = session.get(Feed, feed.name)
        since = None if row is None else row.since
        untold = {} if since is None else _untold(session, feed.name, since)
        quiet = {key: study_id for key, study_id in untold.items() if _is_quiet(session, study_id, before)}
    if since is None:
        with context.database.writing() as session:
            if session.get(Feed, feed.name) is None:
                session.add(Feed(destination=feed.name, since=now))
        return 0
    queued, unmade = 0, {}
    for key, study_id in quiet.items():
        try:
            queued += _queue(context, feed, key, study_id)
        except Exception as error:
            # One that cannot be told of must not hold back the others.
            unmade[key] = type(error).__name__
            _LOG.error("event not made", feed=feed.name, event_id=key, error=unmade[key], places=places_of(error))
    for key, fault in unmade.items():
        queued += _queue(context, feed, key, quiet[key], fault)
    if len(quiet) == len(untold) and since <= now - 2 * _LATE:
        with context.database.writing() as session:
            row = session.get_one(Feed, feed.name)
            row.since = max(row.since, now - _LATE)
    return queued


def deliver_once(context: Context, feed: Target, holder: str, client: httpx2.Client) -> bool:
    """Send the next event that is due, or put it off.

    Nothing is sent of a study of which another server has an event in hand: the older one could arrive last.

    Returns
    -------
    bool
        Whether there was one.
    """
    now = context.now()
    free = or_(Delivery.held_until.is_(None), Delivery.held_until < now, Delivery.holder == holder)
    other = aliased(Delivery)
    in_hand = select(other.id).where(
        other.destination == feed.name,
        other.study_id == Delivery.study_id,
        other.id != Delivery.id,
        other.held_until >= now,
        other.holder != holder,
    )
    due = (
        Delivery.destination == feed.name,
        Delivery.state == "pending",
        Delivery.not_before <= now,
        free,
        ~in_hand.exists(),
    )
    with context.database.reading() as session:
        if session.scalar(select(Delivery.id).where(*due).limit(1)) is None:
            return False
    with context.database.writing() as session:
        delivery = session.scalars(
            select(Delivery)
            .where(*due)
            .order_by(Delivery.not_before, Delivery.id)
            .limit(1)
            .with_for_update(skip_locked=True, of=Delivery)
        ).first()
        if delivery is None:
            return False
        delivery.holder, delivery.held_until = holder, now + _HOLD
        delivery.attempts += 1
        number, key, content, attempts = delivery.id, delivery.key, delivery.content, delivery.attempts
    try:
        content = content or _make(context, feed, number)
    except Exception as error:
        problem: Problem | None = (_unmade(type(error).__name__), attempts >= _MOST_TRIES)
    else:
        if content is None:
            return True
        problem = _sent(feed, content, key, client)
    with context.database.writing() as session:
        again = session.get(Delivery, number)
        if again is not None:
            _note(again, problem, context.now(), context.settings)
    if problem is not None:
        _LOG.warning("event not delivered", feed=feed.name, event_id=key, reason=problem[0])
    return True


def key_of(study_id: str, ended_at: datetime) -> str:
    """Return the idempotency key of a study's end: the same end has the same key whoever tells of it."""
    return str(uuid.uuid5(_SPACE, f"{study_id} {ended_at.isoformat()}"))


def _untold(session: Session, destination: str, since: datetime) -> dict[str, str]:
    """List studies that ended since and were not told of: identifier by key, in the order of their ends."""
    ended = session.execute(
        select(Study.id, Study.screened_at)
        .where(Study.screened_at >= since, Study.state != "waiting")
        .order_by(Study.screened_at)
    )
    told = set(
        session.scalars(
            select(Delivery.key)
            .join(Study, Delivery.study_id == Study.id)
            .where(Delivery.destination == destination, Study.screened_at >= since)
        )
    )
    keys = {key_of(study_id, moment): study_id for study_id, moment in ended if moment is not None}
    return {key: study_id for key, study_id in keys.items() if key not in told}


def _queue(context: Context, feed: Target, key: str, study_id: str, fault: str | None = None) -> bool:
    """Queue what is to be told of a study, in a transaction of its own; with a fault, that it has yet to be made."""
    now = context.now()
    with context.database.writing() as session:
        study = _still_ended(session, study_id, key)
        told = select(Delivery.id).where(Delivery.destination == feed.name, Delivery.key == key)
        if study is None or session.scalar(told) is not None:
            return False
        content = None if fault else feed.content(session, study, key, context.settings)
        # Noted too where there is nothing to send, so that it is not asked again.
        queued = content is not None or fault is not None
        delivery = Delivery(
            id=new_id(),
            destination=feed.name,
            key=key,
            study_id=study_id,
            content=content,
            state="pending" if queued else "sent",
            ended_at=None if queued else now,
            attempts=1 if fault else 0,
            reason=_unmade(fault) if fault else None,
            not_before=now + timedelta(seconds=backoff(1)) if fault else now,
            created_at=now,
        )
        session.add(delivery)
        if content is not None:
            _supersede(session, delivery, now)
    return queued


def _make(context: Context, feed: Target, number: str) -> dict[str, Any] | None:
    """Make what could not be made when its study was announced; None where it has nothing to say any more."""
    now = context.now()
    with context.database.writing() as session:
        delivery = session.get(Delivery, number)
        if delivery is None:
            return None
        study = _still_ended(session, delivery.study_id, delivery.key)
        content = None if study is None else feed.content(session, study, delivery.key, context.settings)
        if content is None:
            # Where the study has gone on, its next end is told.
            delivery.state = "superseded" if study is None else "sent"
            delivery.held_until, delivery.ended_at, delivery.reason = None, now, None
        else:
            delivery.content = content
            _supersede(session, delivery, now)
        return content


def _still_ended(session: Session, study_id: str, key: str) -> Study | None:
    """Lock a study and return it; None where it was deleted, or more of it came, since it was asked about."""
    study = session.scalars(select(Study).where(Study.id == study_id).with_for_update(of=Study)).first()
    if study is None or study.state == "waiting" or study.screened_at is None:
        return None
    return study if key_of(study_id, study.screened_at) == key else None


def _supersede(session: Session, newer: Delivery, now: datetime) -> None:
    """End what of the same study has not arrived: it would overwrite the newer at its receiver."""
    session.flush()
    session.execute(
        update(Delivery)
        .where(
            Delivery.destination == newer.destination,
            Delivery.study_id == newer.study_id,
            Delivery.id != newer.id,
            Delivery.state.in_(("pending", "refused")),
        )
        .values(state="superseded", ended_at=now)
        .execution_options(synchronize_session=False)
    )


def _unmade(fault: str) -> str:
    return f"What is to be sent could not be made ({fault})."


def _is_quiet(session: Session, study_id: str, before: datetime) -> bool:
    last = session.scalar(select(func.max(Image.received_at)).where(Image.study_id == study_id))
    open_exports = (
        select(Export.result_id)
        .join(Result, Export.result_id == Result.id)
        .join(Image, Result.image_id == Image.id)
        .where(Image.study_id == study_id, Export.state.in_(("waiting", "leased")))
    )
    return (last is None or last <= before) and session.scalar(open_exports.limit(1)) is None


def _sent(feed: Target, content: dict[str, Any], key: str, client: httpx2.Client) -> Problem | None:
    """Send an event; None where it was taken."""
    body = json.dumps(content, separators=(",", ":")).encode()
    headers = {"User-Agent": f"cxrscreen/{__version__}", **feed.headers(body, content, key)}
    try:
        answer = client.post(feed.url, content=body, headers=headers)
    except Exception as error:
        # An address or a token that cannot be sent is of another family than what goes wrong on the way.
        return f"It cannot be reached ({type(error).__name__}).", False
    if answer.is_success:
        return None
    return f"It answered with the status {answer.status_code}.", answer.status_code == HTTPStatus.GONE


def _note(delivery: Delivery, problem: Problem | None, now: datetime, settings: Settings) -> None:
    delivery.held_until = None
    if problem is None:
        delivery.state, delivery.ended_at, delivery.reason = "sent", now, None
        return
    delivery.reason, final = problem
    if delivery.state == "superseded":
        return
    if final or now - delivery.created_at > timedelta(days=settings.feed_days):
        delivery.state, delivery.ended_at = "refused", now
    else:
        delivery.not_before = now + timedelta(seconds=backoff(delivery.attempts))
