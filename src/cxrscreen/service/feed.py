"""The feed: who is to know that a study has been screened is told so, signed, and again until they have it."""

import hashlib
import hmac
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import httpx2
import structlog
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.dicom_node.sender import backoff
from cxrscreen.service.context import Context
from cxrscreen.service.logs import places_of
from cxrscreen.service.settings import FhirServer, Settings, Webhook
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.exchange import Delivery, Export, Feed, FhirResource
from cxrscreen.service.store.models import Image, Result, Study

_LOG = structlog.get_logger(__name__)
# Its lines hold addresses; ours name the feed.
logging.getLogger("httpx2").setLevel(logging.WARNING)

SIGNATURE: Final = "X-Cxrscreen-Signature"
EVENT: Final = "X-Cxrscreen-Event"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_SPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:cxrscreen:event")
_SECONDS: Final = 10.0
_HOLD: Final = timedelta(seconds=60)
_LATE: Final = timedelta(minutes=10)
"""How long after its moment a study's end may appear in the database: clocks differ, transactions last."""


@dataclass(frozen=True)
class Target:
    """Where a feed goes.

    Parameters
    ----------
    name
        Its kind and name: ``webhook:ris``, ``fhir:ehr``.
    url
        Address.
    content
        Makes what is sent of a study; None: there is nothing to be sent of it.
    headers
        Makes the headers of a body, with the event and the idempotency key.
    """

    name: str
    url: str
    content: Callable[[Session, Study, str, Settings], dict[str, Any] | None]
    headers: Callable[[bytes, dict[str, Any], str], dict[str, str]]


def feeds_of(settings: Settings) -> tuple[Target, ...]:
    """List the feeds that the settings name."""
    return (*(_webhook(hook) for hook in settings.webhooks), *(_fhir(server) for server in settings.fhir_servers))


def run_feed(context: Context, feed: Target, holder: str, stop: threading.Event, *, poll_seconds: float = 1.0) -> None:
    """Announce and deliver until told to stop; nothing that happens ends it.

    Parameters
    ----------
    context
        The store.
    feed
        Where to.
    holder
        Who sends; see :class:`cxrscreen.service.dicom_outbox.DatabaseOutbox`.
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
    objects are made. What ended before a feed was first seen is not told.

    Returns
    -------
    int
        How many were queued.
    """
    now = context.now()
    settings = context.settings
    with context.database.reading() as session:
        known = session.get(Feed, feed.name)
        since = None if known is None else known.since
        fresh = since is not None and bool(_untold(session, feed.name, since))
    if since is not None and not fresh and since > now - 2 * _LATE:
        return 0
    queued, left = 0, False
    with context.database.writing() as session:
        row = session.get(Feed, feed.name)
        if row is None:
            session.add(Feed(destination=feed.name, since=now))
            return 0
        for key, study_id in _untold(session, feed.name, row.since).items():
            if not _is_quiet(session, study_id, now - timedelta(seconds=settings.feed_quiet_seconds)):
                left = True
                continue
            study = session.scalars(select(Study).where(Study.id == study_id).with_for_update(of=Study)).first()
            if study is None or study.state == "waiting":
                # It was deleted, or more of it came, since it was asked about.
                continue
            content = feed.content(session, study, key, settings)
            session.add(
                Delivery(
                    id=new_id(),
                    destination=feed.name,
                    key=key,
                    study_id=study_id,
                    content=content,
                    # Noted too where there is nothing to send, so that it is not asked again.
                    state="sent" if content is None else "pending",
                    ended_at=now if content is None else None,
                    not_before=now,
                    created_at=now,
                )
            )
            queued += content is not None
        if not left:
            row.since = max(row.since, now - _LATE)
    return queued


def deliver_once(context: Context, feed: Target, holder: str, client: httpx2.Client) -> bool:
    """Send the next event that is due, or put it off.

    Returns
    -------
    bool
        Whether there was one.
    """
    now = context.now()
    free = or_(Delivery.held_until.is_(None), Delivery.held_until < now, Delivery.holder == holder)
    due = (Delivery.destination == feed.name, Delivery.state == "pending", Delivery.not_before <= now, free)
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
        number, key, content = delivery.id, delivery.key, delivery.content or {}
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


def signature(secret: str, body: bytes, moment: int) -> str:
    """Sign a body: ``t=<seconds since 1970>,v1=<HMAC-SHA256 of "<t>.<body>" under the secret, hexadecimal>``."""
    digest = hmac.new(secret.encode(), b"%d.%b" % (moment, body), hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def event_of(_session: Session, study: Study, key: str, settings: Settings) -> dict[str, Any]:
    """Write what a webhook is told of a study: no name, no number of a person, only identifiers of the study."""
    public = settings.public_url.rstrip("/") if settings.public_url else ""
    links = {"page": f"{public}/studies/{study.id}", "api": f"{public}/api/v1/studies/{study.id}"}
    if study.study_instance_uid is not None:
        links["dicomweb"] = f"{public}/dicom-web/studies/{study.study_instance_uid}"
        links["fhir"] = f"{public}/fhir/DiagnosticReport?imaging-study=urn:oid:{study.study_instance_uid}"
    return {
        "event": f"study.{study.state}",
        "id": key,
        "study": study.id,
        "study_instance_uid": study.study_instance_uid,
        "accession_number": study.accession_number,
        "urgency": study.urgency,
        "finding": study.finding,
        "screened_at": None if study.screened_at is None else study.screened_at.isoformat(),
        "links": links,
        "software": f"cxrscreen {__version__}",
        "research_use": RESEARCH_USE,
    }


def bundle_of(session: Session, study: Study, _key: str, _settings: Settings) -> dict[str, Any] | None:
    """Write the FHIR transaction of a study's reports and observations; None where there are none."""
    resources = session.scalars(
        select(FhirResource)
        .join(Result, FhirResource.result_id == Result.id)
        .join(Image, Result.image_id == Image.id)
        .where(Image.study_id == study.id)
        .order_by(FhirResource.made_at, FhirResource.result_id, FhirResource.position)
    ).all()
    if not resources:
        return None
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"urn:uuid:{one.id}",
                "resource": one.content,
                "request": {"method": "PUT", "url": f"{one.kind}/{one.id}"},
            }
            for one in resources
        ],
    }


def _webhook(hook: Webhook) -> Target:
    secret = hook.secret.get_secret_value()

    def headers(body: bytes, content: Mapping[str, Any], key: str) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            EVENT: str(content.get("event")),
            IDEMPOTENCY_KEY: key,
            SIGNATURE: signature(secret, body, int(time.time())),
        }

    return Target(f"webhook:{hook.name}", hook.url, event_of, headers)


def _fhir(server: FhirServer) -> Target:
    def headers(_body: bytes, _content: Mapping[str, Any], key: str) -> dict[str, str]:
        given = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", IDEMPOTENCY_KEY: key}
        if server.token is not None:
            given["Authorization"] = f"Bearer {server.token.get_secret_value()}"
        return given

    return Target(f"fhir:{server.name}", server.url, bundle_of, headers)


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


def _is_quiet(session: Session, study_id: str, before: datetime) -> bool:
    last = session.scalar(select(func.max(Image.received_at)).where(Image.study_id == study_id))
    open_exports = (
        select(Export.result_id)
        .join(Result, Export.result_id == Result.id)
        .join(Image, Result.image_id == Image.id)
        .where(Image.study_id == study_id, Export.state.in_(("waiting", "leased")))
    )
    return (last is None or last <= before) and session.scalar(open_exports.limit(1)) is None


def _sent(feed: Target, content: dict[str, Any], key: str, client: httpx2.Client) -> tuple[str, bool] | None:
    """Send an event; None where it was taken, else why not, in our words, and whether that is for good."""
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


def _note(delivery: Delivery, problem: tuple[str, bool] | None, now: datetime, settings: Settings) -> None:
    delivery.held_until = None
    if problem is None:
        delivery.state, delivery.ended_at, delivery.reason = "sent", now, None
        return
    delivery.reason, final = problem
    if final or now - delivery.created_at > timedelta(days=settings.feed_days):
        delivery.state, delivery.ended_at = "refused", now
    else:
        delivery.not_before = now + timedelta(seconds=backoff(delivery.attempts))
