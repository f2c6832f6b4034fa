"""The feed, with a small real server as receiver."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
from sqlalchemy import select

from cxrscreen import RESEARCH_USE
from cxrscreen.service.dicom_objects import export_once
from cxrscreen.service.feed import announce, deliver_once, run_feed
from cxrscreen.service.feed_targets import feeds_of
from cxrscreen.service.housekeeping import delete_study
from cxrscreen.service.settings import SettingsError, load_settings
from cxrscreen.service.store.exchange import Delivery
from cxrscreen.service.store.models import Study

SECRET = "a secret of sixteen or more"
QUIET = 10


@dataclass
class Receiver:
    """Keeps what is sent, and answers with the statuses that it is told, then with 200."""

    url: str
    statuses: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known.received.append((dict(self.headers), body))
            self.send_response(known.statuses.pop(0) if known.statuses else 200)
            self.end_headers()

        def log_message(self, *_given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield known
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def settings(settings, receiver):
    return type(settings)(
        **{
            **settings.model_dump(),
            "webhooks": [{"name": "ris", "url": receiver.url, "secret": SECRET}],
            "fhir_servers": [{"name": "ehr", "url": receiver.url, "token": "key of the server"}],
            "feed_quiet_seconds": QUIET,
            # Objects take time to make, and a webhook sends none.
            "dicom_objects": "off",
        }
    )


@pytest.fixture
def hook(context):
    (feed,) = [feed for feed in feeds_of(context.settings) if feed.name == "webhook:ris"]
    announce(context, feed)
    return feed


@pytest.fixture
def deliver(context):
    def run(feed):
        with httpx2.Client() as client:
            return deliver_once(context, feed, "test", client)

    return run


def ended(send, dicom, work, context, clock, **options):
    send(dicom(**options))
    work()
    while export_once(context):
        pass
    clock.pass_(seconds=QUIET)


def only(context):
    with context.database.reading() as session:
        return session.scalars(select(Delivery)).one()


def test_a_study_is_told_of_once_signed_and_without_the_person(
    context, send, dicom, work, clock, hook, deliver, receiver
):
    send(dicom())
    assert announce(context, hook) == 0
    work()
    clock.pass_(seconds=QUIET)
    assert announce(context, hook) == 0, "its objects are not made yet"
    export_once(context)
    assert announce(context, hook) == 1
    assert announce(context, hook) == 0
    assert deliver(hook)
    assert not deliver(hook)
    ((headers, body),) = receiver.received
    moment, digest = (part.partition("=")[2] for part in headers["X-Cxrscreen-Signature"].split(","))
    assert hmac.new(SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest() == digest
    event = json.loads(body)
    with context.database.reading() as session:
        study = session.scalars(select(Study)).one()
        person = study.patient
    assert (event["event"], event["study"]) == ("study.screened", study.id)
    assert event["study_instance_uid"] == study.study_instance_uid
    assert event["urgency"] == pytest.approx(study.urgency)
    assert event["research_use"] == RESEARCH_USE
    assert headers["Idempotency-Key"] == event["id"]
    assert person.reference not in body.decode()
    assert person.name not in body.decode()
    assert only(context).state == "sent"


def test_more_images_of_a_study_are_told_of_again_and_an_old_study_never(
    context, send, dicom, work, clock, deliver, receiver
):
    ended(send, dicom, work, context, clock)
    hook = feeds_of(context.settings)[0]
    announce(context, hook)
    assert announce(context, hook) == 0, "it ended before the feed was set up"
    clock.pass_(minutes=1)
    keys = set()
    for number in (2, 3):
        ended(send, dicom, work, context, clock, image_number=number)
        assert announce(context, hook) == 1
        deliver(hook)
        keys.add(receiver.received[-1][0]["Idempotency-Key"])
    assert len(keys) == 2
    clock.pass_(hours=5)
    assert announce(context, hook) == 0
    ended(send, dicom, work, context, clock, image_number=4)
    assert announce(context, hook) == 1


def test_an_address_that_does_not_answer_is_tried_later_with_the_same_key(
    context, send, dicom, work, clock, hook, deliver, receiver
):
    ended(send, dicom, work, context, clock)
    announce(context, hook)
    receiver.statuses = [500, 302, 401]
    waits = []
    for _ in range(3):
        assert deliver(hook)
        assert not deliver(hook)
        found = only(context)
        waits.append((found.not_before - clock.at).total_seconds())
        clock.at = found.not_before
    assert waits == [2, 4, 8]
    assert found.reason == "It answered with the status 401."
    assert deliver(hook)
    assert len({headers["Idempotency-Key"] for headers, _ in receiver.received}) == 1
    assert only(context).state == "sent"


def test_who_is_gone_or_silent_for_days_is_given_up(context, send, dicom, work, clock, hook, deliver, receiver, client):
    ended(send, dicom, work, context, clock)
    announce(context, hook)
    receiver.statuses = [410, 500]
    deliver(hook)
    assert only(context).state == "refused"
    answer = client.post(f"/api/v1/deliveries/{only(context).id}/again")
    assert answer.json()["state"] == "pending"
    clock.pass_(days=8)
    deliver(hook)
    assert only(context).state == "refused"
    listed = client.get("/api/v1/deliveries").json()
    assert listed["counts"] == {"webhook:ris": {"refused": 1}}
    assert listed["deliveries"][0]["reason"] == "It answered with the status 500."
    client.post(f"/api/v1/deliveries/{only(context).id}/again")
    deliver(hook)
    assert client.post(f"/api/v1/deliveries/{only(context).id}/again").status_code == 409


def test_nobody_there_is_no_end(context, send, dicom, work, clock, hook, receiver):
    ended(send, dicom, work, context, clock)
    announce(context, hook)
    with httpx2.Client(transport=httpx2.MockTransport(_refuse)) as client:
        assert deliver_once(context, hook, "test", client)
    assert only(context).reason == "It cannot be reached (ConnectError)."
    with context.database.reading() as session:
        study = session.scalars(select(Study)).one().id
    delete_study(context, study)
    with httpx2.Client() as client:
        assert not deliver_once(context, hook, "test", client)


def _refuse(request):
    raise httpx2.ConnectError("no", request=request)


def test_a_fhir_server_is_given_a_transaction(context, send, dicom, work, clock, deliver, receiver):
    context.settings.__dict__["dicom_objects"] = "dicom"
    feed = feeds_of(context.settings)[1]
    announce(context, feed)
    ended(send, dicom, work, context, clock)
    assert announce(context, feed) == 1
    deliver(feed)
    ((headers, body),) = receiver.received
    assert headers["Authorization"] == "Bearer key of the server"
    assert headers["Content-Type"] == "application/fhir+json"
    bundle = json.loads(body)
    assert bundle["type"] == "transaction"
    assert [entry["request"]["method"] for entry in bundle["entry"]] == ["PUT"] * len(bundle["entry"])
    from fhir.resources.R4B.bundle import Bundle

    assert len(Bundle.model_validate(bundle).entry) == 3
    # Each is where it will lie on the server, so that relative references resolve, within the bundle and there.
    base = context.settings.fhir_servers[0].url.rstrip("/")
    addresses = [f"{base}/{entry['request']['url']}" for entry in bundle["entry"]]
    assert [entry["fullUrl"] for entry in bundle["entry"]] == addresses
    report = bundle["entry"][0]["resource"]
    assert [f"{base}/{one['reference']}" for one in report["result"]] == addresses[1:]


def test_a_failed_picture_is_told_of_and_has_no_resources(context, send, png, work, clock, hook, deliver, receiver):
    fhir = feeds_of(context.settings)[1]
    announce(context, fhir)
    send(png(100)[:-30])
    work()
    clock.pass_(seconds=QUIET)
    assert announce(context, hook) == 1
    assert announce(context, fhir) == 0
    assert announce(context, fhir) == 0
    deliver(hook)
    assert json.loads(receiver.received[0][1])["event"] == "study.failed"


def test_what_cannot_be_sent_stops_neither_the_thread_nor_what_follows(
    context, send, dicom, png, work, clock, hook, receiver
):
    ended(send, dicom, work, context, clock)
    announce(context, hook)
    unsendable = replace(hook, headers=lambda *_given: {"X-Name": "\N{SNOWMAN}"})
    with httpx2.Client() as client:
        assert deliver_once(context, unsendable, "test", client)
    assert only(context).not_before > clock.at
    assert only(context).reason.startswith("It cannot be reached")
    stop, asked = threading.Event(), []

    def broken(*_given):
        asked.append(1)
        if len(asked) > 1:
            stop.set()
        raise ValueError

    for level in (180, 200):
        ended(send, lambda level=level, **_: png(level), work, context, clock)
    thread = threading.Thread(
        target=run_feed, args=(context, replace(hook, content=broken), "test", stop), kwargs={"poll_seconds": 0.01}
    )
    thread.start()
    thread.join(60)
    assert len(asked) == 2


def rows(context):
    with context.database.reading() as session:
        return session.scalars(select(Delivery).order_by(Delivery.created_at)).all()


def test_a_study_that_cannot_be_told_of_is_set_aside_and_holds_back_no_other(
    context, send, dicom, png, work, clock, hook, deliver, receiver
):
    ended(send, dicom, work, context, clock)
    ended(send, lambda **_: png(200), work, context, clock)
    with context.database.reading() as session:
        bad = session.scalars(select(Study.id).order_by(Study.screened_at)).first()

    def content(session, study, key, settings):
        if study.id == bad:
            raise ValueError("a name that no log is to hold")
        return hook.content(session, study, key, settings)

    picky = replace(hook, content=content)
    assert announce(context, picky) == 2
    assert announce(context, picky) == 0
    assert deliver(picky)
    assert not deliver(picky)
    assert len(receiver.received) == 1
    found = {row.study_id: row for row in rows(context)}[bad]
    for _ in range(4):
        assert found.state == "pending"
        clock.at = found.not_before
        assert deliver(picky)
        found = {row.study_id: row for row in rows(context)}[bad]
    assert (found.state, found.attempts) == ("refused", 5)
    assert found.reason == "What is to be sent could not be made (ValueError)."
    with context.database.writing() as session:
        session.get(Delivery, found.id).state = "pending"
    assert deliver(hook)
    assert json.loads(receiver.received[1][1])["study"] == bad


def test_what_is_newer_of_a_study_takes_the_place_of_what_has_not_arrived(
    context, send, dicom, png, work, clock, hook, deliver, receiver, client
):
    ended(send, lambda **_: png(200), work, context, clock)
    ended(send, dicom, work, context, clock)
    assert announce(context, hook) == 2
    receiver.statuses = [500, 500]
    assert [deliver(hook) for _ in range(3)] == [True, True, False]
    ended(send, dicom, work, context, clock, image_number=2)
    assert announce(context, hook) == 1
    states = [row.state for row in rows(context)]
    assert sorted(states) == ["pending", "pending", "superseded"], "the other study's stays"
    while deliver(hook):
        pass
    (old,) = [row for row in rows(context) if row.state == "superseded"]
    newest = rows(context)[-1]
    assert old.study_id == newest.study_id
    assert old.key not in [headers["Idempotency-Key"] for headers, _ in receiver.received[2:]]
    assert newest.state == "sent"
    assert client.post(f"/api/v1/deliveries/{old.id}/again").status_code == 409


def test_the_newer_waits_for_the_older_that_another_server_has_in_hand(
    context, send, dicom, work, clock, hook, deliver, receiver
):
    ended(send, dicom, work, context, clock)
    announce(context, hook)

    def meanwhile(request):
        ended(send, dicom, work, context, clock, image_number=2)
        assert announce(context, hook) == 1
        assert not deliver(hook), "it would overtake the older"
        return httpx2.Response(500)

    with httpx2.Client(transport=httpx2.MockTransport(meanwhile)) as client:
        assert deliver_once(context, hook, "other", client)
    assert [row.state for row in rows(context)] == ["superseded", "pending"]
    assert deliver(hook)
    assert [row.state for row in rows(context)] == ["superseded", "sent"]
    assert not deliver(hook)


def test_what_has_yet_to_be_made_of_a_study_that_went_on_is_left_to_its_next_end(
    context, send, dicom, work, clock, hook, deliver, receiver
):
    def broken(*_given):
        raise ValueError

    ended(send, dicom, work, context, clock)
    announce(context, replace(hook, content=broken))
    clock.pass_(seconds=2)
    send(dicom(image_number=2))
    assert deliver(hook)
    assert only(context).state == "superseded"
    assert not receiver.received


def test_the_thread_announces_and_delivers_until_told_to_stop(context, send, dicom, work, clock, hook, receiver):
    ended(send, dicom, work, context, clock)
    stop = threading.Event()
    thread = threading.Thread(target=run_feed, args=(context, hook, "test", stop), kwargs={"poll_seconds": 0.02})
    thread.start()
    for _ in range(1000):
        if receiver.received:
            break
        stop.wait(0.02)
    stop.set()
    thread.join(60)
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhooks": [{"name": "a", "url": "http://ris.example/hook", "secret": SECRET}]},
        {"webhooks": [{"name": "a", "url": "https://ris.example", "secret": "short"}]},
        {"webhooks": [{"name": "a", "url": "https://ris.example", "secret": SECRET}] * 2},
        {"fhir_servers": [{"name": "a", "url": "ftp://ehr.example"}]},
    ],
)
def test_settings_that_would_leak_or_confuse_are_refused(wrong, tmp_path):
    with pytest.raises(SettingsError) as refused:
        load_settings(folder=tmp_path, **wrong)
    assert SECRET not in str(refused.value)


def test_reports_and_observations_can_be_read(context, send, dicom, work, clock, client):
    context.settings.__dict__["dicom_objects"] = "dicom"
    ended(send, dicom, work, context, clock)
    with context.database.reading() as session:
        study = session.scalars(select(Study)).one().study_instance_uid
    found = client.get(f"/fhir/DiagnosticReport?imaging-study=urn:oid:{study}&_include=DiagnosticReport:result")
    assert found.headers["content-type"] == "application/fhir+json"
    bundle = found.json()
    assert (bundle["total"], [entry["search"]["mode"] for entry in bundle["entry"]]) == (1, ["match", *["include"] * 2])
    from fhir.resources.R4B import bundle as bundles
    from fhir.resources.R4B import capabilitystatement

    bundles.Bundle.model_validate(bundle)
    capabilitystatement.CapabilityStatement.model_validate(client.get("/fhir/metadata").json())
    for entry in bundle["entry"]:
        assert client.get(entry["fullUrl"].removeprefix("http://testserver")).json() == entry["resource"]
    references = [f"http://testserver/fhir/{one['reference']}" for one in bundle["entry"][0]["resource"]["result"]]
    assert references == [entry["fullUrl"] for entry in bundle["entry"][1:]]
    assert client.get(f"/fhir/Observation?imaging-study={study}&_count=1").json()["link"][1]["relation"] == "next"
    assert client.get("/fhir/DiagnosticReport?imaging-study=1.2").json()["total"] == 0
    moment = bundle["entry"][0]["resource"]["meta"]["lastUpdated"]
    at = {"_lastUpdated": f"ge{moment}"}
    assert client.get("/fhir/DiagnosticReport", params=at).json()["total"] == 1
    assert client.get("/fhir/DiagnosticReport?_lastUpdated=ge2999-01-01T00:00:00Z").json()["total"] == 0
    for wrong in ("geyesterday", "ge2026-01-01T00:00:00", "ge0001-01-01T00:00:00%2B01:00"):
        assert client.get(f"/fhir/DiagnosticReport?_lastUpdated={wrong}").status_code == 400
    assert client.get(f"/fhir/Observation/{'0' * 8}-0000-0000-0000-{'0' * 12}").status_code == 404
