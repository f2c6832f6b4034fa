import errno
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import select

from cxrscreen.service import pictures
from cxrscreen.service.housekeeping import sweep
from cxrscreen.service.store.models import Image, Result, Study
from cxrscreen.service.store.people import AuditEvent

API = "/api/v1"


@pytest.fixture
def screened(context, send, dicom, work):
    """One screened study of a person: identifiers of the study, the image and the result."""
    (image,) = send(dicom(patient_id="P-9", changes={"PatientName": "Doe^Jane"}))
    work()
    with context.database.reading() as session:
        result = session.scalars(select(Result)).one()
        return result.image.study_id, image, result.id


def decoded(answer):
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "no-store"
    return np.asarray(Picture.open(io.BytesIO(answer.content)))


def test_the_worklist_and_a_study(client, screened):
    study, image, result = screened
    listed = client.get(f"{API}/studies", params={"state": "screened", "limit": 1}).json()
    assert (listed["total"], listed["studies"][0]["id"]) == (1, study)
    assert listed["studies"][0]["patient"]["name"] == "Doe^Jane"
    body = client.get(f"{API}/studies/{study}").json()
    assert body["images"][0]["id"] == image
    assert body["images"][0]["jobs"][0]["result"] == result


@pytest.mark.parametrize("query", ["limit=0", "limit=5000", "state=odd", "since=2026-01-01", "patient=Doe", "order=x"])
def test_malformed_filters_are_problems_and_persons_cannot_be_named_in_an_address(client, query):
    answer = client.get(f"{API}/studies?{query}")
    assert answer.status_code == 422
    assert answer.json()["title"] == "Unprocessable Entity" or answer.json()["status"] == 422
    assert "Doe" not in answer.text


def test_people_are_searched_for_in_a_body(client, screened):
    for body, n in (({"patient": "P-9"}, 1), ({"patient": "jane"}, 1), ({"patient": "nobody"}, 0), ({}, 1)):
        assert client.post(f"{API}/studies/search", json=body).json()["total"] == n
    assert client.get(f"{API}/studies/{screened[0]}/earlier").json() == []


def test_pictures_of_an_image(client, screened):
    path = f"{API}/images/{screened[1]}/picture.png"
    whole = decoded(client.get(path))
    assert whole.shape == (128, 128)
    assert decoded(client.get(path, params={"side": 64})).shape == (64, 64)
    inverted = decoded(client.get(path, params={"invert": True}))
    assert np.abs(whole.astype(int) + inverted - 255).max() <= 1
    narrow = decoded(client.get(path, params={"center": 0.5, "width": 0.001}))
    assert set(np.unique(narrow).tolist()) <= set(range(256))
    assert (np.isin(narrow, (0, 255))).mean() > 0.95
    for bad in ({"width": 0}, {"side": 100_000}, {"center": "nan"}, {"nonsense": 1}):
        assert client.get(path, params=bad).status_code == 422


def test_maps_to_lay_over_the_picture(client, screened):
    path = f"{API}/results/{screened[2]}/maps"
    overlay, values = decoded(client.get(f"{path}/h2.png")), decoded(client.get(f"{path}/h2.png?look=values"))
    assert overlay.shape == (128, 128, 4)
    assert (overlay[..., 3] == values).all()
    lungs = decoded(client.get(f"{path}/lungs.png?look=values"))
    assert set(np.unique(lungs)) == {0, 1, 2}
    shown = decoded(client.get(f"{path}/lungs.png"))
    assert ((shown[..., 3] > 0) == (lungs > 0)).all()
    assert client.get(f"{path}/h9.png").status_code == 404


def test_the_report_as_page_and_pdf_and_its_links(client, screened):
    page = client.get(f"{API}/results/{screened[2]}/report.html")
    assert "Research use only" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert 'href="./pictures/original.png"' in page.text
    for name in ("original", "lung_overlay", "lung_mask", "h2"):
        assert decoded(client.get(f"{API}/results/{screened[2]}/pictures/{name}.png")).size
    assert client.get(f"{API}/results/{screened[2]}/pictures/other.png").status_code == 404
    pdf = client.get(f"{API}/results/{screened[2]}/report.pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert pdf.headers["content-type"] == "application/pdf"


def test_who_waits_for_a_report_holds_no_connection(client, context, send, png, work, monkeypatch):
    send(*(png(150, seed=seed) for seed in range(3)))
    work()
    with context.database.reading() as session:
        results = session.scalars(select(Result.id)).all()
    drawing, go, answers, write_folder = threading.Semaphore(0), threading.Event(), [], pictures.write_folder

    def slow(*given):
        drawing.release()
        assert go.wait(60)
        return write_folder(*given)

    monkeypatch.setattr(pictures, "write_folder", slow)
    asked = [f"{API}/results/{one}/{what}" for one in results for what in ("report.html", "report.pdf")]
    asked += [f"{API}/results/{one}/pictures/original.png" for one in results]
    threads = [threading.Thread(target=lambda path=path: answers.append(client.get(path))) for path in asked]
    for thread in threads:
        thread.start()
    try:
        assert drawing.acquire(timeout=60)
        assert drawing.acquire(timeout=60)
        end = time.monotonic() + 20
        while context.database.engine.pool.checkedout() and time.monotonic() < end:
            time.sleep(0.05)
        assert context.database.engine.pool.checkedout() == 0
        assert client.get(f"{API}/studies").status_code == 200
    finally:
        go.set()
        for thread in threads:
            thread.join()
    assert [answer.status_code for answer in answers] == [200] * len(asked)


def test_a_refused_image_has_a_report_too(client, context, send, png, work):
    send(png(0))
    work()
    with context.database.reading() as session:
        result = session.scalars(select(Result)).one().id
    page = client.get(f"{API}/results/{result}/report.html")
    assert "This is no chest." in page.text
    assert client.get(f"{API}/results/{result}/report.pdf").content.startswith(b"%PDF-")


def test_the_file_comes_back_as_it_was_sent(client, screened, dicom):
    answer = client.get(f"{API}/images/{screened[1]}/file")
    assert answer.content == dicom(patient_id="P-9", changes={"PatientName": "Doe^Jane"})
    assert answer.headers["content-type"] == "application/dicom"
    assert screened[1] in answer.headers["content-disposition"]


def test_another_screening_on_demand(client, context, screened, work):
    study, image, _ = screened
    path = f"{API}/images/{image}/screenings"
    first = client.post(path, json={"system": "second"})
    assert (first.status_code, first.json()["system"]) == (202, "second")
    assert client.post(path, json={"system": "second"}).json()["id"] == first.json()["id"]
    assert client.get(f"{API}/studies/{study}").json()["state"] == "waiting"
    work()
    again = client.post(path, json={"system": "quick"}).json()
    assert again["round"] == 2
    work()
    jobs = client.get(f"{API}/images/{image}").json()["jobs"]
    assert sorted((job["system"], job["round"], job["state"]) for job in jobs) == [
        ("quick", 1, "done"),
        ("quick", 2, "done"),
        ("second", 1, "done"),
    ]
    assert client.post(path, json={"system": "unknown"}).status_code == 409


def test_feedback_is_kept_and_nothing_is_overwritten(client, context, screened):
    study, _, result = screened
    path = f"{API}/studies/{study}/feedback"
    said = {"result": result, "agrees": False, "final_diagnosis": "bacterial", "comment": "  A\x00b \n"}
    assert client.post(path, json=said).status_code == 201
    later = {"rt_pcr_result": "positive", "rt_pcr_on": "2026-01-03", "symptom_onset": "2026-01-01"}
    assert client.post(path, json=later).status_code == 201
    found = client.get(path).json()
    assert [row["agrees"] for row in found] == [False, None]
    assert (found[0]["comment"], found[1]["rt_pcr_on"]) == ("Ab", "2026-01-03")
    assert client.get(f"{API}/studies/{study}").json()["reviewed_at"] is not None


def test_an_image_that_comes_after_the_readers_answer_is_to_be_read(client, context, screened, send, dicom):
    study = screened[0]
    client.post(f"{API}/studies/{study}/feedback", json={"final_diagnosis": "normal"}).raise_for_status()
    assert client.get(f"{API}/studies", params={"reviewed": False}).json()["total"] == 0
    send(dicom(patient_id="P-9", image_number=2, changes={"PatientName": "Doe^Jane"}))
    assert [row["id"] for row in client.get(f"{API}/studies", params={"reviewed": False}).json()["studies"]] == [study]
    body = client.get(f"{API}/studies/{study}").json()
    assert (body["reviewed_at"], [row["final_diagnosis"] for row in body["feedback"]]) == (None, ["normal"])


def test_an_answer_to_fewer_images_than_there_are_by_now_leaves_the_study_to_be_read(client, screened, send, dicom):
    path = f"{API}/studies/{screened[0]}/feedback"
    send(dicom(patient_id="P-9", image_number=2, changes={"PatientName": "Doe^Jane"}))
    for images, read in ((1, False), (2, True)):
        answer = client.post(path, params={"images": images}, json={"final_diagnosis": "normal"})
        assert answer.status_code == 201
        assert (client.get(f"{API}/studies/{screened[0]}").json()["reviewed_at"] is not None) == read
    assert len(client.get(path).json()) == 2


def test_words_of_a_comment_stay_apart_where_a_line_ends(client, screened):
    path = f"{API}/studies/{screened[0]}/feedback"
    said = {"comment": "no effusion\nno pneumothorax\r\n\r\n\tfollow\u00a0up "}
    assert client.post(path, json=said).json()["comment"] == "no effusion no pneumothorax follow up"


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"agrees": True},
        {"rt_pcr_result": "positive"},
        {"rt_pcr_on": "2026-01-01"},
        {"final_diagnosis": "gout"},
        {"comment": "\x00"},
        {"comment": "x" * 2001},
        {"agrees": True, "result": "../x"},
        {"nonsense": 1},
    ],
)
def test_incomplete_feedback_is_a_problem_that_repeats_nothing(client, screened, said):
    answer = client.post(f"{API}/studies/{screened[0]}/feedback", json=said)
    assert answer.status_code == 422
    assert "gout" not in answer.text


def test_feedback_on_a_result_of_another_study(client, screened):
    said = {"agrees": True, "result": "0" * 32}
    assert client.post(f"{API}/studies/{screened[0]}/feedback", json=said).status_code == 409
    assert client.post(f"{API}/studies/{'0' * 32}/feedback", json={"comment": "x"}).status_code == 404


def test_a_deleted_study_is_gone_with_its_files(client, context, screened):
    study, image, result = screened
    assert client.delete(f"{API}/studies/{study}").status_code == 204
    for path in (f"studies/{study}", f"images/{image}", f"results/{result}", f"images/{image}/picture.png"):
        assert client.get(f"{API}/{path}").status_code == 404
    assert list(context.files.names()) == []
    assert client.delete(f"{API}/studies/{study}").status_code == 404
    with context.database.reading() as session:
        assert session.scalars(select(Study)).all() == session.scalars(select(Image)).all() == []


def test_a_deletion_is_told_and_written_down_although_a_file_stays_until_the_sweep(
    client, context, screened, monkeypatch
):
    def stuck(*_given):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(context.files, "remove_unneeded", stuck)
        assert client.delete(f"{API}/studies/{screened[0]}").status_code == 204
    with context.database.reading() as session:
        assert session.scalars(select(AuditEvent.action)).all() == ["study.deleted"]
    assert list(context.files.names())
    sweep(context, older_than_seconds=-1)
    assert list(context.files.names()) == []


def test_who_saw_or_did_what_is_in_the_audit_log(client, context, screened):
    study, image, result = screened
    client.get(f"{API}/studies/{study}")
    client.get(f"{API}/results/{result}/report.pdf")
    for side in (32, 64):
        client.get(f"{API}/images/{image}/picture.png", params={"side": side})
    client.post(f"{API}/studies/search", json={"patient": "Doe"})
    client.delete(f"{API}/studies/{study}")
    with context.database.reading() as session:
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.number)).all()
    assert [(event.action, event.target_id) for event in events] == [
        ("study.seen", study),
        ("result.report_made", result),
        ("image.picture_seen", image),
        ("study.searched", None),
        ("study.deleted", study),
    ]
    assert {event.actor for event in events} == {"settings token"}
    assert all("Doe" not in str(event.details) for event in events)


def test_statistics_systems_and_metrics(client, context, screened, monkeypatch):
    from cxrscreen.service.api import systems as module

    body = client.get(f"{API}/statistics", params={"days": 7}).json()
    assert body["volumes"][-1]["screened"] == 1
    assert body["turnaround"]["images"] == 1
    assert "no accuracy" in body["reading"]
    metrics = client.get("/metrics").text
    assert 'cxrscreen_jobs{state="done"} 1.0' in metrics
    assert 'cxrscreen_results{finding="' in metrics
    monkeypatch.setattr(module, "bundle_named", lambda _bundle, _name: "cascade")
    module._card.cache_clear()
    listed = client.get(f"{API}/systems").json()
    module._card.cache_clear()
    assert [(system["name"], system["orders_worklist"]) for system in listed] == [("quick", True), ("second", False)]
    assert 0 < listed[0]["operating_points"]["pneumonia"] < 1


def test_a_picture_whose_file_is_gone_is_a_problem(client, context, screened):
    with context.database.reading() as session:
        sha256 = session.get(Image, screened[1]).sha256
    context.files.path(sha256).unlink()
    assert client.get(f"{API}/images/{screened[1]}/picture.png").status_code == 503
    assert client.get(f"{API}/images/{screened[1]}/file").status_code == 404
