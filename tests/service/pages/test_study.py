import re
from collections.abc import Callable
from datetime import date

import pytest
from fastapi.testclient import TestClient

from cxrscreen.service.context import Context
from cxrscreen.service.intake import Said, Sender, Upload, take_in

Send = Callable[..., list[str]]
Work = Callable[[], int]


@pytest.fixture
def screened(client: TestClient, send: Send, work: Work, png: Callable[..., bytes]) -> tuple[str, str]:
    """A study with one bright image: the study and its image."""
    (image,) = send(png(200))
    work()
    return client.get(f"/api/v1/images/{image}").json()["study"], image


def taken(context: Context, content: bytes, day: date, person: str = "P-1") -> str:
    import io

    receipt = take_in(context, [Upload(io.BytesIO(content), "x.png")], Sender("tester", "api"), Said(person, day))
    return str(receipt.taken[0].study_id)


def test_a_study_shows_decisions_at_their_operating_points_maps_and_measurements(
    client: TestClient, screened: tuple[str, str]
) -> None:
    study, image = screened
    text = client.get(f"/studies/{study}").text
    assert f'data-image="{image}"' in text
    assert "At or above the operating point of 0.50: called pneumonia (any type)." in text
    assert "Not asked: an earlier decision made this one needless." in text
    assert 'value="h2"' in text
    assert "50% of it lies inside the lungs." in text
    assert "Missing, estimated" in text
    assert "report.pdf" in text
    assert "Nobody has answered yet." in text


def test_a_refused_image_has_no_score_and_a_damaged_one_a_reason(
    client: TestClient, send: Send, work: Work, png: Callable[..., bytes]
) -> None:
    cut = png(90, side=96)
    images = send(png(0), cut[: len(cut) - 40])
    work()
    refused, failed = (client.get(f"/api/v1/images/{image}").json()["study"] for image in images)
    text = client.get(f"/studies/{refused}").text
    assert "This is no chest." in text
    assert "Nothing can be concluded about it" in text
    assert "decision-bar" not in text
    text = client.get(f"/studies/{failed}").text
    assert "could not screen this image" in text
    assert "data-again=" in text


def test_images_that_were_not_screened_are_told_of_where_another_one_is_shown(
    client: TestClient, send: Send, work: Work, dicom: Callable[..., bytes]
) -> None:
    dark = b"\xff\x0f" + bytes(2 * 128 * 128 - 2)
    images = send(dicom(), dicom(image_number=2)[:-3000], dicom(image_number=3, changes={"PixelData": dark}))
    study = client.get(f"/api/v1/images/{images[0]}").json()["study"]
    assert "not screened" not in client.get(f"/studies/{study}").text
    work()
    text = client.get(f"/studies/{study}").text
    assert f'data-image="{images[0]}"' in text
    assert "2 of 3 images not screened" in text
    told = re.findall(r'<div class="notice bad" data-missed>(.*?)</div>', text, re.DOTALL)[0]
    assert re.findall(r"\?image=([0-9a-f]{32})", told) == images[1:]
    assert "quick could not screen it. " in told
    assert "quick refused it: no score. This is no chest." in told
    other = client.get(f"/studies/{study}?image={images[1]}").text
    assert (
        re.findall(r"\?image=([0-9a-f]{32})", re.findall(r"data-missed>(.*?)</div>", other, re.DOTALL)[0]) == images[2:]
    )


def test_the_answer_says_how_many_images_were_shown(
    client: TestClient, send: Send, work: Work, dicom: Callable[..., bytes]
) -> None:
    (image, _) = send(dicom(), dicom(image_number=2))
    work()
    study = client.get(f"/api/v1/images/{image}").json()["study"]
    assert f'data-answer="/api/v1/studies/{study}/feedback?images=2"' in client.get(f"/studies/{study}").text


def test_a_waiting_study_says_so_and_who_asks_for_its_state_is_written_down_now_and_then(
    client: TestClient, send: Send, work: Work, png: Callable[..., bytes]
) -> None:
    (image,) = send(png(200))
    study = client.get(f"/api/v1/images/{image}").json()["study"]
    assert "data-waiting" in client.get(f"/studies/{study}").text
    for _ in range(3):
        assert client.get(f"/studies/{study}/state").json() == {"state": "waiting", "finding": None, "urgency": None}
    written = client.get("/api/v1/audit-log?limit=100").text
    assert (written.count("study.seen"), written.count("study.state_seen")) == (1, 1)
    work()
    assert client.get(f"/studies/{study}/state").json()["finding"] == "other_pneumonia"


def test_what_readers_said_is_shown_escaped(client: TestClient, screened: tuple[str, str]) -> None:
    study, _ = screened
    said = {"comment": "<script>x</script>", "rt_pcr_result": "positive", "rt_pcr_on": "2020-03-14"}
    client.post(f"/api/v1/studies/{study}/feedback", json=said).raise_for_status()
    text = client.get(f"/studies/{study}").text
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert "<script>x" not in text
    assert "RT-PCR of" in text


def test_earlier_images_of_the_person_stand_on_a_line_and_beside_this_one(
    client: TestClient, context: Context, work: Work, png: Callable[..., bytes]
) -> None:
    first = taken(context, png(70), date(2020, 3, 1))
    second = taken(context, png(210), date(2020, 3, 8))
    work()
    text = client.get(f"/studies/{second}").text
    assert "Earlier and later images of this person" in text
    assert f"/studies/{second}/beside/{first}" in text
    assert "+7" in text
    beside = client.get(f"/studies/{second}/beside/{first}")
    assert beside.status_code == 200
    assert "Two images side by side" in beside.text
    assert "7 days apart" in beside.text
    images = re.findall(r'data-image="([0-9a-f]{32})"', beside.text)
    assert len(set(images)) == 2
    assert client.get(f"/api/v1/images/{images[0]}").json()["study"] == first


def test_images_of_two_people_are_not_compared(
    client: TestClient, context: Context, work: Work, png: Callable[..., bytes]
) -> None:
    studies = [taken(context, png(level), date(2020, 3, 1), person) for level, person in ((70, "P-1"), (210, "P-2"))]
    work()
    results = [client.get(f"/api/v1/studies/{study}").json()["images"][0]["jobs"][0]["result"] for study in studies]
    answer = client.get(f"/compare?left={results[0]}&right={results[1]}")
    assert answer.status_code == 409
    assert "not of the same person" in answer.text


def test_the_next_study_is_the_most_urgent_unread_one(
    client: TestClient, send: Send, work: Work, png: Callable[..., bytes]
) -> None:
    images = send(png(180), png(200), png(220))
    work()
    low, middle, high = (client.get(f"/api/v1/images/{image}").json()["study"] for image in images)
    assert f'href="/studies/{high}" data-next' in client.get(f"/studies/{low}").text
    assert f'href="/studies/{middle}" data-next' in client.get(f"/studies/{high}").text


def test_two_systems_on_one_image_differ_or_agree_in_words(
    client: TestClient, screened: tuple[str, str], work: Work
) -> None:
    study, image = screened
    client.post(f"/api/v1/images/{image}/screenings", json={"system": "second"}).raise_for_status()
    work()
    text = client.get(f"/studies/{study}").text
    left, right = re.findall(r"/compare\?left=([0-9a-f]{32})&amp;right=([0-9a-f]{32})", text)[0]
    compared = client.get(f"/compare?left={left}&right={right}").text
    assert "Two systems side by side" in compared
    assert "The systems agree." in compared
    assert compared.count("<canvas") == 2


def test_opening_a_study_is_in_the_audit_log(client: TestClient, screened: tuple[str, str]) -> None:
    study, _ = screened
    client.get(f"/studies/{study}")
    events = client.get("/api/v1/audit-log?limit=50").text
    assert "study.seen" in events
    assert study in events
