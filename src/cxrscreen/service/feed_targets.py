"""Where feeds go and what they say: webhooks and FHIR servers, their bodies and their headers."""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.service.settings import FhirServer, Settings, Webhook
from cxrscreen.service.store.exchange import FhirResource
from cxrscreen.service.store.models import Image, Result, Study

SIGNATURE: Final = "X-Cxrscreen-Signature"
EVENT: Final = "X-Cxrscreen-Event"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"


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


def bundle_of(session: Session, study: Study, server: str) -> dict[str, Any] | None:
    """Write the FHIR transaction of a study's reports and observations for a server; None where there are none.

    The resources refer to each other by type and id. As each is put under its address on the server, that resolves
    within the bundle and after it (FHIR R4B, Bundle 2.36.4.1); ``urn:uuid:`` would be replaced by the server only
    where it gave an id itself.
    """
    resources = session.scalars(
        select(FhirResource)
        .join(Result, FhirResource.result_id == Result.id)
        .join(Image, Result.image_id == Image.id)
        .where(Image.study_id == study.id)
        .order_by(FhirResource.made_at, FhirResource.result_id, FhirResource.position)
    ).all()
    if not resources:
        return None
    base = server.rstrip("/")
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"{base}/{one.kind}/{one.id}",
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
    def content(session: Session, study: Study, _key: str, _settings: Settings) -> dict[str, Any] | None:
        return bundle_of(session, study, server.url)

    def headers(_body: bytes, _content: Mapping[str, Any], key: str) -> dict[str, str]:
        given = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", IDEMPOTENCY_KEY: key}
        if server.token is not None:
            given["Authorization"] = f"Bearer {server.token.get_secret_value()}"
        return given

    return Target(f"fhir:{server.name}", server.url, content, headers)
