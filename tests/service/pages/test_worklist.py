import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from cxrscreen.service.pages.worklist import Wanted

Send = Callable[..., list[str]]


def order(text: str) -> list[str]:
    return re.findall(r'data-study="([0-9a-f]{32})"', text)


def study_of(client: TestClient, image: str) -> str:
    return str(client.get(f"/api/v1/images/{image}").json()["study"])


@pytest.fixture
def studies(client: TestClient, send: Send, work: Callable[[], int], png: Callable[..., bytes]) -> list[str]:
    """Three studies: urgency about 0.3, 0.8, and one that the gate refused."""
    images = send(png(75), png(200), png(0))
    work()
    return [study_of(client, image) for image in images]


def test_what_was_not_looked_at_comes_first_then_by_urgency(client: TestClient, studies: list[str]) -> None:
    calm, urgent, refused = studies
    text = client.get("/worklist").text
    assert order(text) == [refused, urgent, calm]
    assert "1 refused" in text
    assert "a person has to" in text
    assert "Other pneumonia" in text


def test_filters_and_tabs(client: TestClient, studies: list[str]) -> None:
    calm, urgent, refused = studies
    assert order(client.get("/worklist?state=refused").text) == [refused]
    assert order(client.get("/worklist?finding=normal").text) == [calm]
    assert order(client.get("/worklist?show=read").text) == []
    client.post(f"/api/v1/studies/{urgent}/feedback", json={"final_diagnosis": "unclear"}).raise_for_status()
    assert order(client.get("/worklist?show=read").text) == [urgent]
    assert order(client.get("/worklist").text) == [refused, calm]
    assert len(order(client.get("/worklist?show=all").text)) == 3


def test_a_study_with_an_image_that_was_not_screened_is_told_of_and_stands_above_urgent_ones(
    client: TestClient, studies: list[str], send: Send, work: Callable[[], int], dicom: Callable[..., bytes]
) -> None:
    _calm, urgent, refused = studies
    assert "images not screened" not in client.get("/worklist").text
    image, _cut = send(dicom(), dicom(image_number=2)[:-3000])
    work()
    study = study_of(client, image)
    text = client.get("/worklist").text
    assert order(text)[:3] == [refused, study, urgent]
    assert "1 of 2 images not screened" in text
    words = " ".join(re.sub("<[^>]+>", "", re.findall(r"data-counts>(.*?)</p>", text, re.DOTALL)[0]).split())
    assert words.startswith(
        "2 screened, to be read 0 waiting for the system 2 not wholly looked at by the system (1 ref"
    )
    assert "1 screened in part): a person has to" in words


def test_a_study_comes_back_when_an_image_is_added_to_it(
    client: TestClient, send: Send, work: Callable[[], int], dicom: Callable[..., bytes]
) -> None:
    (image,) = send(dicom())
    work()
    study = study_of(client, image)
    client.post(f"/api/v1/studies/{study}/feedback", json={"final_diagnosis": "normal"}).raise_for_status()
    assert "Nothing to read." in client.get("/worklist").text
    assert client.get("/api/v1/statistics").json()["unreviewed_studies"] == 0
    send(dicom(image_number=2))
    work()
    assert order(client.get("/worklist").text) == [study]
    assert order(client.get("/worklist?show=read").text) == []
    assert client.get("/api/v1/statistics").json()["unreviewed_studies"] == 1


def test_the_part_that_changes_is_the_part_of_the_page(client: TestClient, studies: list[str]) -> None:
    part = client.get("/worklist/rows?show=all").text
    assert part.strip() in client.get("/worklist?show=all").text
    assert "<html" not in part


def test_an_unknown_filter_value_is_a_page_not_a_fault(client: TestClient) -> None:
    assert client.get("/worklist?state=lost").status_code == 404
    assert client.get("/worklist?utm=1").status_code == 200


def test_a_person_is_found_by_number_and_part_of_the_name_and_never_named_in_an_address(
    client: TestClient, dicom: Callable[..., bytes]
) -> None:
    file = dicom(changes={"PatientName": "Muster^Maria <b>", "PatientID": "P-77", "AccessionNumber": "A-5"})
    client.post("/api/v1/submissions", files={"files": file}).raise_for_status()
    for whom in ("P-77", "muster", "A-5"):
        answer = client.post("/worklist/found", data={"whom": whom})
        assert len(order(answer.text)) == 1
        assert "Muster, Maria &lt;b&gt;" in answer.text
        assert "<b>" not in answer.text.replace("<b>1</b>", "")
    assert order(client.post("/worklist/found", data={"whom": "P-7"}).text) == []
    page = client.get("/worklist").text
    assert not [address for address in re.findall(r'(?:href|action|src)="([^"]*)"', page) if "uster" in address]
    assert "Muster" not in re.findall(r"<title>(.*)</title>", page)[0]


def test_addresses_of_filters_hold_what_differs_from_the_usual() -> None:
    assert Wanted().address() == "/worklist"
    assert Wanted(state="failed", page=3).address(show="all") == "/worklist?show=all&state=failed"
    assert Wanted(days=7).address(page=2) == "/worklist?days=7&page=2"


def test_the_list_has_pages(
    client: TestClient, send: Send, png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxrscreen.service.pages.worklist.PAGE", 2)
    send(png(90, seed=1), png(91, seed=2), png(92, seed=3))
    first, second = (order(client.get(f"/worklist?page={number}").text) for number in (1, 2))
    assert (len(first), len(second)) == (2, 1)
    assert not set(first) & set(second)
    assert "1 to 2 of 3" in client.get("/worklist").text
