"""Requests that a browser sends because another site's page asks it to."""

from cxrscreen.service.access import Role
from cxrscreen.service.security.audit_log import Filter, events

ACCOUNTS = "/api/v1/accounts"
NEW = {"name": "new", "role": "viewer", "password": "lemon gravel submarine"}


def test_a_change_needs_the_sessions_token(people):
    client = people.signed_in(Role.ADMIN)
    token = client.headers.pop("X-CSRF-Token")
    assert client.post(ACCOUNTS, json=NEW).status_code == 403
    assert client.post(ACCOUNTS, json=NEW, headers={"X-CSRF-Token": token[:-1] + "x"}).status_code == 403
    other = people.signed_in(Role.ADMIN).headers["X-CSRF-Token"]
    assert client.post(ACCOUNTS, json=NEW, headers={"X-CSRF-Token": other}).status_code == 403
    assert client.get(ACCOUNTS).status_code == 200
    assert client.post(ACCOUNTS, json=NEW, headers={"X-CSRF-Token": token}).status_code == 201


FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
)


def test_another_sites_page_is_refused_even_with_the_token(people):
    client = people.signed_in(Role.ADMIN)
    credentials = {"name": "anna", "password": "walrus bicycle tangerine"}
    for headers in FOREIGN:
        assert client.post(ACCOUNTS, json=NEW, headers=headers).status_code == 403
        assert client.post("/api/v1/session", json=credentials, headers=headers).status_code == 403


def test_forged_requests_are_written_down_under_whose_name_they_came(people, context):
    client = people.signed_in(Role.ADMIN)
    client.post(ACCOUNTS, json=NEW, headers={"Origin": "https://evil.example"})
    del client.headers["X-CSRF-Token"]
    client.post(ACCOUNTS, json=NEW)
    with context.database.reading() as session:
        refused = events(session, Filter(outcome="refused"), before=None, at_most=10)
    assert [(event.actor, event.action, event.details["why"]) for event in refused] == [
        ("anna", "request.refused", "forgery token"),
        ("anna", "request.refused", "origin"),
    ]
    assert {event.details["route"] for event in refused} == {ACCOUNTS}


def test_the_services_own_page_is_let_pass(people):
    client = people.signed_in(Role.ADMIN)
    own = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert client.post(ACCOUNTS, json=NEW, headers=own).status_code == 201


def test_programs_with_a_token_need_none(people):
    assert people.with_token(Role.ADMIN).post(ACCOUNTS, json=NEW).status_code == 201


def test_a_wrong_token_beside_a_cookie_is_no_way_round(people):
    client = people.signed_in(Role.ADMIN)
    del client.headers["X-CSRF-Token"]
    assert client.post(ACCOUNTS, json=NEW, headers={"Authorization": "Bearer cxs_wrong"}).status_code == 403
