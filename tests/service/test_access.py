import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from cxrscreen.service.access import OPEN_TO_ALL, Access, Principal, Requirement, Role, bearer_token, requirements_of
from cxrscreen.service.app import create_app

A_32 = "0" * 32
OPEN = {"/health", "/ready"}
SIGN_IN = {"/api/v1/session"}


@pytest.fixture
def app(context):
    return create_app(context.settings, context)


def routes(app):
    for route in iter_route_contexts(app.routes):
        for method in sorted(route.methods - {"HEAD"}):
            yield method, route


def address(path):
    names = ("submission_id", "study_id", "image_id", "result_id", "account_id", "token_id")
    for name in names:
        path = path.replace(f"{{{name}}}", A_32)
    return path.replace("{name}", "h2").replace("{file}", "h2.png")


def declared(route):
    found = requirements_of(route.dependant)
    return found[0] if len(found) == 1 else None


def test_every_route_declares_one_requirement(app):
    silent = [f"{method} {route.path}" for method, route in routes(app) if declared(route) is None]
    assert silent == []


def test_only_what_shows_nothing_is_open(app):
    assert {route.path for _, route in routes(app) if declared(route) == OPEN_TO_ALL} >= OPEN
    open_api = {route.path for _, route in routes(app) if declared(route).role is None and "/api/" in route.path}
    assert open_api <= SIGN_IN


def test_nobody_passes_without_credentials(app):
    with TestClient(app) as client:
        for method, route in routes(app):
            if route.path.startswith("/api/") and declared(route).role is not None:
                answer = client.request(method, address(route.path))
                assert answer.status_code == 401, f"{method} {route.path}"
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert answer.json()["status"] == 401


@pytest.mark.parametrize("role", Role)
def test_a_role_reaches_its_routes_and_no_others(app, role):
    token = "the token of somebody"
    app.state.access = Access((bearer_token(token, Principal("somebody", role, "token")),))
    reached = 0
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
        for method, route in routes(app):
            needed = declared(route).role
            if needed is None or not route.path.startswith("/api/"):
                continue
            status = client.request(method, address(route.path)).status_code
            assert status == 403 or role >= needed, f"{method} {route.path} for {role.name}: {status}"
            assert status not in (401, 500), f"{method} {route.path} for {role.name}: {status}"
            reached += status != 403
    assert reached


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic the token of somebody", "bearer\tx", "Bearer ü"]
)
def test_a_wrong_token_is_nobody(app, header):
    with TestClient(app) as client:
        answer = client.get("/api/v1/studies", headers={"Authorization": header.encode()})
        assert answer.status_code == 401


def test_a_requirement_may_stand_in_a_dependency(app):
    assert requirements_of(next(route for _, route in routes(app) if route.path == "/api/v1/studies").dependant) == [
        Requirement(Role.VIEWER)
    ]
