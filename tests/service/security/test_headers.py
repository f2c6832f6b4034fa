import asyncio
import logging

from cxrscreen.service.access import Role
from cxrscreen.service.security.headers import POLICY


def test_on_every_answer(people):
    client = people.stranger()
    for path in ("/health", "/api/v1/studies", "/no-such-thing", "/api/v1/openapi.json"):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers


def test_nothing_inline_and_nothing_from_elsewhere():
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    assert "*" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert POLICY.startswith("default-src 'none'")


def test_a_fault_says_nothing_of_its_inside_and_has_the_headers_too(people, monkeypatch):
    from cxrscreen.service.api import accounts

    def fail(_session):
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr(accounts.accounts, "accounts", fail)
    answer = people.with_token(Role.ADMIN).get("/api/v1/accounts")
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert "RuntimeError" not in answer.text
    assert answer.headers["content-security-policy"] == POLICY


def test_long_addresses_and_headers(people):
    client = people.stranger()
    assert client.get("/health", params={"x": "y" * 5000}).status_code == 414
    assert client.get("/health", headers={"X-Long": "y" * 20_000}).status_code == 431


def test_forms_are_small_whoever_sends_them(people):
    client = people.stranger()
    large = b'{"name": "' + b"x" * 2**21 + b'"}'
    for kind in ("application/json", "multipart/form-data; boundary=x", "image/png"):
        answer = client.post("/api/v1/session", content=large, headers={"Content-Type": kind})
        assert answer.status_code == 413

    def pieces():
        for _ in range(64):
            yield b"x" * 2**16

    assert client.post("/api/v1/session", content=pieces()).status_code == 413


def test_an_upload_is_not_read_before_it_is_known_who_sends_it(people):
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/submissions",
        "raw_path": b"/api/v1/submissions",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"content-type", b"multipart/form-data; boundary=x")],
        "client": ("10.0.0.1", 1),
        "server": ("testserver", 80),
    }
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    asyncio.run(people.app(scope, receive, send))
    assert sent[0]["status"] == 401


NAMES = ("Zzyzx^Quentin", "ZZ-991-ID", "ACC-77131", "zzyzx-quentin.dcm", "19410203", "1941-02-03")


def test_no_patient_data_in_the_log_of_a_whole_upload(people, dicom, worker, caplog, capfd):
    """From sending to deleting, with mistakes on the way."""
    caplog.set_level(logging.DEBUG)
    changes = {
        "PatientName": NAMES[0],
        "PatientID": NAMES[1],
        "AccessionNumber": NAMES[2],
        "PatientBirthDate": NAMES[4],
    }
    content = dicom(changes=changes)
    client = people.signed_in(Role.ADMIN)
    sent = client.post("/api/v1/submissions", files=[("files", (NAMES[3], content))])
    assert sent.status_code == 202
    assert NAMES[3] in sent.text
    client.post("/api/v1/submissions", files=[("files", (NAMES[3], content[:2000]))])
    study = sent.json()["items"][0]["study"]
    assert worker.work_once()
    seen = client.get(f"/api/v1/studies/{study}")
    assert NAMES[1] in seen.text
    client.post("/api/v1/studies/search", json={"patient": NAMES[1]})
    client.get("/api/v1/studies", params={"patient": NAMES[1]})
    client.get(f"/api/v1/studies/{NAMES[1]}")
    client.post("/api/v1/session", json={"name": NAMES[1], "password": NAMES[0]})
    exported = client.get("/api/v1/audit-log/export").text
    client.delete(f"/api/v1/studies/{study}")
    out, err = capfd.readouterr()
    ours = [repr(vars(entry)) for entry in caplog.records if not entry.name.startswith("http")]
    written = "\n".join((out, err, *ours, exported))
    assert "taken in" in written
    for name in NAMES:
        assert name.lower() not in written.lower()
    assert "zzyzx" not in written.lower()
