import errno

import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.service.api import submissions
from cxrscreen.service.app import create_app

PATH = "/api/v1/submissions"


def post(client, *files, **data):
    return client.post(PATH, files=[("files", file) for file in files], data=data)


def test_a_full_disk_is_no_fault_of_the_request(client, png, monkeypatch):
    def full(*_given, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(submissions, "take_in", full)
    answer = client.post("/api/v1/submissions", files=[("files", ("a.png", png(100)))])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


def test_an_upload_is_acknowledged_and_can_be_followed(client, png, work):
    answer = post(client, ("a.png", png(200)), ("notes.txt", b"text"))
    assert answer.status_code == 202
    body = answer.json()
    assert [item["outcome"] for item in body["items"]] == ["accepted", "refused"]
    assert body["research_use"] == RESEARCH_USE
    work()
    (job,) = client.get(f"{PATH}/{body['id']}").json()["items"][0]["jobs"]
    assert job["state"] == "done"
    result = client.get(f"/api/v1/results/{job['result']}").json()
    assert result["record"]["finding"] == "other_pneumonia"
    assert result["record"]["file"] == body["items"][0]["image"]


@pytest.mark.parametrize(
    ("content", "status"), [(b"text", 415), (b"", 415), (b"\x89PNG\r\n\x1a\n....", 422), (b"PK\x03\x04", 422)]
)
def test_nothing_accepted_is_a_problem_with_its_reason(client, content, status):
    answer = post(client, ("Doe^Jane.png", content))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["reasons"] == [body["detail"]]
    assert "Doe" not in answer.text
    assert client.get(f"{PATH}/{body['submission']}").json()["items"][0]["reason"] == body["detail"]


def test_different_reasons_are_one_status(client, png):
    answer = post(client, ("a", b"text"), ("b", png(1, side=20)))
    assert answer.status_code == 422
    assert len(answer.json()["reasons"]) == 2


def test_a_form_without_files_and_an_impossible_date(client, png):
    assert client.post(PATH, data={"patient": "P"}).status_code == 400
    assert client.post(PATH, json={}).status_code == 400
    answer = post(client, ("a.png", png(100)), taken_on="yesterday")
    assert (answer.status_code, "2020-03-31" in answer.json()["detail"]) == (400, True)


def test_a_request_that_is_too_large_is_refused_at_once(context, png):
    from fastapi.testclient import TestClient

    settings = context.settings.model_copy(update={"max_request_bytes": 2000})
    token = settings.api_token.get_secret_value()
    with TestClient(create_app(settings, context), headers={"Authorization": f"Bearer {token}"}) as client:
        assert post(client, ("a.png", bytes(5000))).status_code == 413

        def unannounced():
            for _ in range(5):
                yield bytes(1000)

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = client.post(PATH, content=unannounced(), headers=headers)
        assert answer.status_code == 413
        assert answer.json()["status"] == 413


def test_nobody_sends_without_the_role(context, png):
    from fastapi.testclient import TestClient

    with TestClient(create_app(context.settings, context)) as client:
        assert post(client, ("a.png", png(100))).status_code == 401


def test_an_unknown_submission(client):
    assert client.get(f"{PATH}/{'0' * 32}").status_code == 404
    assert client.get(f"{PATH}/nonsense").status_code == 422
