import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from cxrscreen import RESEARCH_USE
from cxrscreen.service.access import Access, Principal, Role, bearer_token
from cxrscreen.service.app import create_app
from cxrscreen.service.context import Context
from cxrscreen.service.pages.sign_in import own_path
from cxrscreen.service.pages.static_files import STATIC

NOBODYS = "0" * 32
PAGES = ("/worklist", "/upload", "/figures", "/sign-in", f"/studies/{NOBODYS}")


@pytest.fixture
def stranger(context: Context) -> TestClient:
    return TestClient(create_app(context.settings, context), follow_redirects=False)


@pytest.mark.parametrize("address", PAGES)
def test_every_page_says_what_it_is_for_keeps_nothing_and_holds_no_inline_script(
    client: TestClient, address: str
) -> None:
    answer = client.get(address)
    assert "Research use only." in answer.text
    assert RESEARCH_USE in answer.text
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text
    assert "<style" not in answer.text
    assert all("src=" in part.partition(">")[0] for part in answer.text.split("<script")[1:])


def test_who_is_not_signed_in_is_led_to_the_form_and_back(stranger: TestClient) -> None:
    answer = stranger.get("/worklist?show=all&page=2")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/worklist%3Fshow%3Dall%26page%3D2"
    form = stranger.get(answer.headers["location"])
    assert form.status_code == 200
    assert 'data-sign-in="/worklist?show=all&amp;page=2"' in form.text


@pytest.mark.parametrize("address", ["/worklist/rows?show=all", "/figures/part?days=9", f"/studies/{NOBODYS}/state"])
def test_signing_in_leads_to_pages_and_not_to_parts_of_them(stranger: TestClient, address: str) -> None:
    assert stranger.get(address).headers["location"] == "/sign-in?next=/worklist"


def test_signing_in_leads_to_what_can_be_opened(stranger: TestClient) -> None:
    answer = stranger.post("/worklist/found", data={"whom": "x"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/worklist")


@pytest.mark.parametrize(
    ("given", "leads_to"),
    [
        ("/studies/1?image=2", "/studies/1?image=2"),
        ("", "/worklist"),
        ("https://elsewhere.example", "/worklist"),
        ("//elsewhere.example", "/worklist"),
        ("/\\elsewhere.example", "/worklist"),
        ("/\t/elsewhere.example", "/worklist"),
        ("/sign-in", "/worklist"),
    ],
)
def test_signing_in_leads_to_pages_of_the_service_alone(given: str, leads_to: str) -> None:
    assert own_path(given) == leads_to


def test_what_is_not_there_is_a_page_with_one_sentence(client: TestClient) -> None:
    for address in (f"/studies/{NOBODYS}", "/studies/no-number", f"/compare?left={NOBODYS}&right={NOBODYS}"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")
        assert "<h1>Not found</h1>" in answer.text


def test_static_files_are_kept_for_good_under_their_digest_alone(stranger: TestClient) -> None:
    answer = stranger.get(f"{STATIC}/viewer.js")
    assert answer.headers["cache-control"].endswith("immutable")
    assert answer.headers["content-type"].startswith("text/javascript")
    older = stranger.get("/static/0123/viewer.js")
    assert older.content == answer.content
    assert older.headers["cache-control"] == "no-cache"
    for name in ("none.js", "../app.py", "..%2fapp.py"):
        assert stranger.get(f"{STATIC}/{name}").status_code == 404


def test_every_printed_page_says_what_it_is_for(stranger: TestClient) -> None:
    assert f'content: "{RESEARCH_USE}"' in stranger.get(f"{STATIC}/base.css").text.partition("@page")[2]


def test_pages_are_no_part_of_the_api(client: TestClient) -> None:
    paths = {getattr(found.route, "path", "") for found in iter_route_contexts(client.app.routes)}  # type: ignore[attr-defined]
    assert {"/worklist", "/figures", "/compare"} <= paths
    assert not {path for path in client.get("/api/v1/openapi.json").json()["paths"] if path.startswith("/worklist")}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.READER])
def test_a_role_reaches_its_pages_and_no_others(context: Context, role: Role) -> None:
    app = create_app(context.settings, context)
    app.state.access = Access((bearer_token("somebody's", Principal("somebody", role, "token")),))
    client = TestClient(app, headers={"Authorization": "Bearer somebody's"}, follow_redirects=False)
    for address in PAGES:
        refused = address == "/upload" and role < Role.READER
        assert (client.get(address).status_code == 403) == refused, address
    assert ('href="/upload"' in client.get("/worklist").text) == (role >= Role.READER)
    assert TestClient(app, follow_redirects=False).get("/upload").status_code == 303
