from collections.abc import Callable
from datetime import timedelta

from fastapi.testclient import TestClient

from cxrscreen.service.context import Context
from cxrscreen.service.pages.figures import calls_and_tests


def test_an_empty_service_has_figures_without_numbers(client: TestClient) -> None:
    text = client.get("/figures").text
    assert "nothing waits" in text
    assert "Nobody has agreed or disagreed" in text
    assert "No image has a score in this time." in text
    assert client.get("/figures?days=1").status_code == 404


def test_figures_count_what_happened(
    client: TestClient, send: Callable[..., list[str]], work: Callable[[], int], png: Callable[..., bytes]
) -> None:
    images = send(png(200), png(80), png(0))
    work()
    study = client.get(f"/api/v1/images/{images[0]}").json()["study"]
    result = client.get(f"/api/v1/images/{images[0]}").json()["jobs"][0]["result"]
    said = {"agrees": True, "result": result, "rt_pcr_result": "negative", "rt_pcr_on": "2026-01-02"}
    client.post(f"/api/v1/studies/{study}/feedback", json=said).raise_for_status()
    text = client.get("/figures").text
    assert "2026-01-05: 3 received" in text
    assert "2026-01-05: 2 screened" in text
    assert "2026-01-05: 1 refused" in text
    assert "none below 20 judged" in text
    assert "Other pneumonia" in text
    assert "Not told: it needs 20 images on either side, and there are 0 before and 2" in text
    assert client.get("/figures/part").text.strip() in text


def test_the_last_test_told_of_a_study_counts(
    client: TestClient,
    context: Context,
    send: Callable[..., list[str]],
    work: Callable[[], int],
    png: Callable[..., bytes],
) -> None:
    (image,) = send(png(200))
    work()
    study = client.get(f"/api/v1/images/{image}").json()["study"]
    for result in ("negative", "positive"):
        said = {"rt_pcr_result": result, "rt_pcr_on": "2026-01-02"}
        client.post(f"/api/v1/studies/{study}/feedback", json=said).raise_for_status()
        context.now.pass_(minutes=1)  # type: ignore[attr-defined]
    with context.database.reading() as session:
        assert calls_and_tests(session, context.now() - timedelta(days=1)) == {("other_pneumonia", "positive"): 1}
        assert calls_and_tests(session, context.now()) == {}
