import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from cxrscreen.service.access import Principal, Role
from cxrscreen.service.api import asking
from cxrscreen.service.security import audit_log
from cxrscreen.service.security.audit_log import Filter
from cxrscreen.service.store.audit import record
from cxrscreen.service.store.chain import BEGINNING, check_chain, digest_of
from cxrscreen.service.store.people import AuditEvent

LOG = "/api/v1/audit-log"
WHO = Principal("Ä. Müller", Role.READER, "session")


@pytest.fixture
def five(context, clock):
    for number in range(5):
        record(context, WHO, "study.seen", "study", f"{number:032x}", request="r", found=number)
        clock.pass_(hours=1)
    return context


def found(context, kept=None):
    with context.database.reading() as session:
        return audit_log.check(session, kept)


def tamper(context, statement):
    """As somebody does who may change tables, and takes the triggers away first."""
    with context.database.writing() as session:
        for name in ("update", "delete", "replace"):
            session.execute(text(f"DROP TRIGGER IF EXISTS audit_events_no_{name}"))
        session.execute(text(statement))


def test_a_log_that_is_whole(five):
    check, holds = found(five)
    assert (check.events, check.broken_at, holds) == (5, None, True)
    assert found(five, (5, check.head))[1]
    record(five, WHO, "study.seen", "study", None)
    assert found(five, (5, check.head))[1]
    assert found(five, (0, BEGINNING))[1]


def test_a_picture_that_could_not_be_written_down_is_not_shown_the_next_time_either(
    context, client, send, png, monkeypatch
):
    (image,) = send(png(100))
    address = f"/api/v1/images/{image}/picture.png"

    def locked(*_given, **_details):
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(asking.audit, "record", locked)
        assert [client.get(address).status_code for _ in range(2)] == [503, 503]
    assert [client.get(address).status_code for _ in range(2)] == [200, 200]
    with context.database.reading() as session:
        seen = session.scalars(select(AuditEvent.target_id).where(AuditEvent.action == "image.picture_seen")).all()
    assert seen == [image]


def test_an_empty_one(context):
    assert found(context)[0].head == BEGINNING


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'somebody else'",
        "UPDATE audit_events SET details = '{}' WHERE number = 2",
        "DELETE FROM audit_events WHERE number = 5",
        "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events WHERE number = 1",
        "REPLACE INTO audit_events SELECT * FROM audit_events WHERE number = 1",
    ],
)
def test_the_database_refuses(five, statement):
    with pytest.raises(DBAPIError, match="not changed or deleted"), five.database.writing() as session:
        session.execute(text(statement))
    assert found(five)[0].broken_at is None


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE audit_events SET actor = 'somebody else' WHERE number = 3", 3),
        ('UPDATE audit_events SET details = \'{"found": 9, "role": "reader"}\' WHERE number = 2', 2),
        ("UPDATE audit_events SET at = '2020-01-01 00:00:00.000000' WHERE number = 1", 1),
        ("UPDATE audit_events SET digest = previous WHERE number = 4", 4),
        ("DELETE FROM audit_events WHERE number = 1", 2),
        ("DELETE FROM audit_events WHERE number = 4", 5),
    ],
)
def test_tampering_shows(five, statement, broken_at):
    tamper(five, statement)
    assert found(five)[0].broken_at == broken_at


def test_cutting_off_the_end_shows_by_what_was_kept_alone(five):
    kept = (5, found(five)[0].head)
    tamper(five, "DELETE FROM audit_events WHERE number = 5")
    check, holds = found(five, kept)
    assert check.broken_at is None
    assert not holds


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text() | st.booleans() | st.none(), max_size=3
    ),
    st.text(max_size=20),
)
def test_every_column_counts(details, actor):
    from datetime import UTC, datetime

    event = {
        "number": 1,
        "at": datetime(2026, 1, 5, tzinfo=UTC),
        "actor": actor,
        "actor_kind": "session",
        "action": "study.seen",
        "target_kind": "study",
        "target_id": "0",
        "outcome": "done",
        "request": None,
        "details": details,
    }
    digest = digest_of(event, BEGINNING)
    whole = {**event, "previous": BEGINNING, "digest": digest}
    assert check_chain([whole]).broken_at is None
    assert digest_of(json.loads(json.dumps({**event, "at": None})) | {"at": event["at"]}, BEGINNING) == digest
    for name in event:
        other = {**whole, name: datetime(2026, 1, 6, tzinfo=UTC) if name == "at" else "other"}
        assert check_chain([other]).broken_at is not None


def test_filters(five, clock):
    from datetime import timedelta

    def numbers(**wanted):
        before, at_most = wanted.pop("before", None), wanted.pop("at_most", 100)
        with five.database.reading() as session:
            return [
                event.number for event in audit_log.events(session, Filter(**wanted), before=before, at_most=at_most)
            ]

    assert numbers() == [5, 4, 3, 2, 1]
    assert numbers(at_most=2) == [5, 4]
    assert numbers(before=4, at_most=2) == [3, 2]
    assert numbers(target_id=f"{2:032x}") == [3]
    assert numbers(actor="nobody") == []
    assert numbers(since=clock.at - timedelta(hours=2)) == [5, 4]
    assert numbers(until=clock.at - timedelta(hours=4)) == [1]


def test_read_exported_and_checked_by_administrators(people, actions):
    client = people.with_token(Role.ADMIN)
    people.with_token(Role.READER).get("/api/v1/accounts")
    (refused,) = client.get(LOG, params={"outcome": "refused"}).json()
    assert refused["action"] == "request.refused"
    assert refused["details"]["route"] == "/api/v1/accounts"
    exported = client.get(f"{LOG}/export")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    checked = client.get(f"{LOG}/check").json()
    assert checked["whole"]
    assert [action for _, action, _ in actions()[-3:]] == ["audit_log.seen", "audit_log.exported", "audit_log.checked"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"])
def test_moments_that_are_none_are_refused(people, moment):
    client = people.signed_in(Role.ADMIN)
    for name in ("since", "until"):
        for path in ("/api/v1/audit-log", "/api/v1/audit-log/export", "/api/v1/studies"):
            answer = client.get(path, params={name: moment})
            assert (answer.status_code, f"query.{name}" in answer.json()["detail"]) == (422, True), path
        assert client.post("/api/v1/studies/search", json={name: moment}).status_code == 422
        assert client.get("/api/v1/audit-log", params={name: "2026-01-05T13:00:00+14:00"}).status_code == 200


def test_an_export_can_be_checked_elsewhere(people):
    from datetime import datetime

    client = people.with_token(Role.ADMIN)
    for _ in range(3):
        client.get(LOG)
    lines = [json.loads(line) for line in client.get(f"{LOG}/export").text.splitlines()]
    assert check_chain([{**line, "at": datetime.fromisoformat(line["at"])} for line in lines]).broken_at is None


def test_reading_studies_is_written_down(people, send, png, context, actions):
    from cxrscreen.service.store.models import Image

    (image_id,) = send(png(100))
    with context.database.reading() as session:
        study_id = session.get_one(Image, image_id).study_id
    people.signed_in(Role.VIEWER).get(f"/api/v1/studies/{study_id}")
    assert ("vera", "study.seen", "done") in actions()
