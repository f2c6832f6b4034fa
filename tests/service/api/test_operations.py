import io
import json
import logging
from contextlib import ExitStack

import pytest
import structlog

from cxrscreen.service.logs import places_of, set_up_logs


def test_health_and_readiness(client, context, monkeypatch):
    assert client.get("/health").json()["status"] == "alive"
    assert client.get("/ready").json() == {"ready": True, "database": True, "files": True}
    monkeypatch.setattr(context.files, "writable", lambda: False)
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["files"]) == (503, False)


def test_what_nobody_foresaw_is_a_problem_without_its_text(client, context, monkeypatch):
    def fail():
        raise RuntimeError("PATIENT^NAME inside")

    monkeypatch.setattr(context.files, "writable", fail)
    answer = client.get("/ready")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request"] == answer.headers["x-request-id"]
    assert "PATIENT" not in answer.text


def test_a_database_that_is_away_is_503(client, context, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def away():
        raise OperationalError("SELECT patient", {}, Exception("gone"))

    monkeypatch.setattr(context.database, "reading", away)
    answer = client.get("/api/v1/studies")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


def test_a_database_without_a_free_connection_is_503(client, context, monkeypatch):
    monkeypatch.setattr(context.database.engine.pool, "_timeout", 0.2)
    with ExitStack() as held:
        pool = context.database.engine.pool
        for _ in range(pool.size() + pool._max_overflow - pool.checkedout()):
            held.enter_context(context.database.engine.connect())
        answer = client.get("/api/v1/studies")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert client.get("/api/v1/studies").status_code == 200


def test_unknown_paths_and_methods_are_problems(client):
    for method, path, status in (("GET", "/api/v1/none", 404), ("PUT", "/api/v1/studies", 405)):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.json()["status"] == status


def test_the_interface_describes_itself(client):
    described = client.get("/api/v1/openapi.json").json()
    assert "/api/v1/submissions" in described["paths"]
    form = described["paths"]["/api/v1/submissions"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["files"]


@pytest.fixture
def logs():
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    set_up_logs("debug", "json")
    written = io.StringIO()
    root.handlers[0].setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:] = kept
    root.setLevel(level)
    structlog.reset_defaults()


def test_the_log_is_json_and_holds_templates_instead_of_what_was_asked(client, logs, dicom):
    content = dicom(patient_id="SECRET-7", changes={"PatientName": "Doe^Jane"})
    client.post("/api/v1/submissions", files=[("files", ("Doe^Jane.dcm", content))])
    client.post("/api/v1/studies/search", json={"patient": "Doe"})
    client.get("/api/v1/studies?patient=Doe")
    lines = [line for line in logs() if line["logger"].startswith("cxrscreen")]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["route"], line["status"]) for line in requests] == [
        ("/api/v1/submissions", 202),
        ("/api/v1/studies/search", 200),
        ("/api/v1/studies", 422),
    ]
    assert "Doe" not in json.dumps(lines)
    assert "SECRET-7" not in json.dumps(lines)


def test_the_place_of_an_error_is_told_without_its_text():
    try:
        json.loads("PATIENT^NAME")
    except ValueError as error:
        places = places_of(error)
    assert "PATIENT" not in str(places)
    assert places[0].startswith("test_operations.py:")
