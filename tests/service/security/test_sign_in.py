import re

import pytest

from cxrscreen.service.access import Role
from cxrscreen.service.security.accounts import disable
from cxrscreen.service.security.keys import digest_of
from cxrscreen.service.store import people as tables

PASSWORD = "walrus bicycle tangerine"
SESSION = "/api/v1/session"


def try_(client, name="rita", password=PASSWORD, **options):
    return client.post(SESSION, json={"name": name, "password": password}, **options)


def test_in_and_out(people, actions):
    client = people.stranger()
    answer = try_(client, "Rita")
    assert answer.status_code == 200
    assert answer.json() | {"csrf_token": "", "expires_at": ""} == {
        "name": "rita",
        "role": "reader",
        "kind": "session",
        "csrf_token": "",
        "expires_at": "",
    }
    assert client.get(SESSION).json()["csrf_token"] == answer.json()["csrf_token"]
    cookie = client.cookies["cxrscreen"]
    out = client.delete(SESSION, headers={"X-CSRF-Token": answer.json()["csrf_token"]})
    assert out.status_code == 204
    again = people.stranger(cookies={"cxrscreen": cookie})
    assert again.get(SESSION).status_code == 401
    assert actions() == [("rita", "session.opened", "done"), ("rita", "session.ended", "done")]


def test_the_cookie_is_for_the_browser_alone_and_only_its_digest_is_kept(people, context):
    client = people.stranger()
    header = try_(client).headers["set-cookie"]
    assert re.search(r"^cxrscreen=[\w-]{43};", header)
    assert "HttpOnly" in header
    assert "SameSite=lax" in header
    assert "Path=/" in header
    with context.database.reading() as session:
        (kept,) = session.query(tables.Session).all()
    assert kept.digest == digest_of(client.cookies["cxrscreen"])
    assert client.cookies["cxrscreen"] not in repr(vars(kept))


def test_behind_tls_the_cookie_is_bound_to_it(people):
    secure = people.under(public_url="https://cxr.hospital.example")
    answer = try_(secure.stranger(base_url="https://cxr.hospital.example"))
    assert answer.headers["set-cookie"].startswith("__Host-cxrscreen=")
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_each_sign_in_gives_another_key_and_ends_the_old_session(people):
    client = people.stranger()
    try_(client)
    first = client.cookies["cxrscreen"]
    try_(client)
    assert client.cookies["cxrscreen"] != first
    assert people.stranger(cookies={"cxrscreen": first}).get(SESSION).status_code == 401


def test_a_cookie_that_somebody_else_chose_is_not_taken_over(people):
    client = people.stranger(cookies={"cxrscreen": "chosen-by-somebody-else"})
    header = try_(client).headers["set-cookie"]
    assert "chosen-by-somebody-else" not in header


def test_nobody_learns_which_accounts_exist(people, context):
    with context.database.writing() as session:
        disable(session, session.get_one(tables.User, people.ids[Role.VIEWER]), context.now())
    client = people.stranger()
    answers = [
        try_(client, "rita", "wrong"),
        try_(client, "nobody-of-that-name", "wrong"),
        try_(client, "not a name at all", "wrong"),
        try_(client, "vera", PASSWORD),
    ]
    said = [{**answer.json(), "request": ""} for answer in answers]
    assert all(other == said[0] for other in said)
    assert said[0]["status"] == 401
    assert len({str(sorted(answer.headers)) for answer in answers}) == 1


def test_what_was_typed_is_not_written_down(people, context):
    try_(people.stranger(), "my secret password", "x")
    try_(people.stranger(), "mysecretpassword", "x")
    with context.database.reading() as session:
        kept = [repr(vars(row)) for table in (tables.AuditEvent, tables.SignInAttempt) for row in session.query(table)]
    assert len(kept) == 2
    assert not any("secret" in row for row in kept)


def test_too_many_attempts_on_an_account_from_wherever(people, clock):
    people = people.under(attempts_per_account=3)
    for number in range(3):
        client = people.stranger(client=(f"10.0.0.{number}", 1))
        assert try_(client, "rita", "wrong").status_code == 401
    right = try_(people.stranger(client=("10.0.1.1", 1)))
    assert right.status_code == 429
    assert right.headers["retry-after"] == "900"
    assert "wait 15 min" in right.json()["detail"]
    clock.pass_(minutes=14, seconds=30)
    assert try_(people.stranger(client=("10.0.1.1", 1))).headers["retry-after"] == "30"
    assert try_(people.stranger(client=("10.0.1.1", 1)), "vera").status_code == 200
    clock.pass_(seconds=31)
    assert try_(people.stranger(client=("10.0.1.1", 1))).status_code == 200


@pytest.mark.parametrize("other", ["\uff52ita", "\U0001d493ita", "\u24e1ita", " RITA\u2003"])
def test_another_spelling_of_a_name_has_no_attempts_of_its_own(people, other):
    client = people.under(attempts_per_account=3).stranger()
    for _ in range(3):
        assert try_(client, "rita", "wrong").status_code == 401
    assert try_(client, other, "wrong").status_code == 429
    assert try_(client, "rita").status_code == 429


def test_too_many_attempts_on_a_name_that_is_nobodys_say_the_same(people):
    client = people.under(attempts_per_account=2).stranger()
    answers = [try_(client, name, "wrong") for name in ("rita", "nobody") for _ in range(3)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:3] == statuses[3:] == [401, 401, 429]
    assert answers[2].json()["detail"] == answers[5].json()["detail"]


def test_too_many_attempts_from_an_address(people):
    people = people.under(attempts_per_address=2)
    for number in range(2):
        client = people.stranger(client=(f"2001:db8::{number}", 1))
        assert try_(client, f"name{number}", "wrong").status_code == 401
    assert try_(people.stranger(client=("2001:db8::ffff", 1))).status_code == 429
    assert try_(people.stranger(client=("2001:db8:0:1::1", 1))).status_code == 200


def test_strangers_do_not_fill_the_audit_log(people, actions, context, clock):
    people = people.under(attempts_per_account=3, attempts_per_address=7)

    def events():
        return [event for event in actions() if event[2] == "refused"]

    def targets():
        with context.database.reading() as session:
            return [row.target_id for row in session.query(tables.AuditEvent) if row.outcome == "refused"]

    client = people.stranger(client=("10.0.0.1", 1))
    assert [try_(client, "rita", "wrong").status_code for _ in range(3)] == [401] * 3
    refused = ("nobody", "session.opened", "refused")
    assert events() == [refused] * 3
    assert [try_(client, "rita", "wrong").status_code for _ in range(20)] == [429] * 20
    # Once that the limit was reached.
    assert events() == [refused] * 4
    elsewhere = people.stranger(client=("10.0.0.2", 1))
    assert [try_(elsewhere, "rita", "wrong").status_code for _ in range(5)] == [429] * 5
    rita = people.ids[Role.READER]
    assert targets() == [rita] * 4
    for number in range(30):
        try_(client, f"name{number}", "wrong")
    assert targets() == [rita] * 4 + [None]
    clock.pass_(minutes=16)
    for _ in range(5):
        try_(client, "rita", "wrong")
    assert targets() == [rita] * 4 + [None] + [rita] * 4


def test_signing_in_forgets_the_failures_of_that_account_alone(people):
    client = people.under(attempts_per_account=2).stranger()
    for name in ("rita", "vera"):
        try_(client, name, "wrong")
    assert try_(client, "rita").status_code == 200
    assert try_(client, "rita", "wrong").status_code == 401
    assert try_(client, "vera", "wrong").status_code == 401
    assert try_(client, "vera").status_code == 429


def test_a_session_ends_when_it_is_not_used(people, clock):
    client = people.signed_in(Role.VIEWER)
    clock.pass_(minutes=61)
    assert client.get(SESSION).status_code == 401


def test_a_page_that_asks_by_itself_keeps_no_session(people, clock):
    client = people.signed_in(Role.VIEWER)
    poll = {"X-Poll": "1"}
    for _ in range(5):
        clock.pass_(minutes=10)
        assert client.get("/worklist/rows", headers=poll).status_code == 200
    assert client.get("/worklist").status_code == 200
    for _ in range(5):
        clock.pass_(minutes=10)
        assert client.get("/worklist/rows", headers=poll).status_code == 200
    clock.pass_(minutes=11)
    assert client.get("/worklist/rows", headers=poll, follow_redirects=False).status_code == 303
    assert client.get(SESSION).status_code == 401


@pytest.mark.parametrize("password", ["\\ud800aaaaaaaaaaaa", "walrus bicycle tangerine\\udfff"])
def test_half_a_character_is_no_password(people, password):
    json = {"Content-Type": "application/json"}
    wrong = people.stranger().post(SESSION, content=f'{{"name":"rita","password":"{password}"}}', headers=json)
    assert wrong.status_code == 401
    client = people.signed_in(Role.READER)
    new = f'{{"present":"{PASSWORD}","new":"{password}"}}'
    refused = client.put(f"{SESSION}/password", content=new, headers=json)
    assert (refused.status_code, "half a character" in refused.json()["detail"]) == (400, True)


def test_a_session_ends_however_much_it_is_used(people, clock):
    client = people.under(session_hours=2).signed_in(Role.VIEWER)
    for _ in range(3):
        assert client.get(SESSION).status_code == 200
        clock.pass_(minutes=59)
    assert client.get(SESSION).status_code == 401


def test_shutting_an_account_ends_its_session_and_tokens_at_once(people, context):
    browser, admin = people.signed_in(Role.READER), people.signed_in(Role.ADMIN)
    key = browser.post("/api/v1/tokens", json={"name": "modality", "role": "reader"}).json()["key"]
    program = people.stranger(headers={"Authorization": f"Bearer {key}"})
    assert program.get(SESSION).json()["name"] == "modality (rita)"
    path = f"/api/v1/accounts/{people.ids[Role.READER]}"
    assert admin.patch(path, json={"disabled": True}).status_code == 200
    assert browser.get(SESSION).status_code == 401
    assert program.get(SESSION).status_code == 401
    assert admin.patch(path, json={"disabled": False}).status_code == 200
    assert browser.get(SESSION).status_code == 401


def test_a_lower_role_counts_at_once(people):
    browser, admin = people.signed_in(Role.READER), people.signed_in(Role.ADMIN)
    key = browser.post("/api/v1/tokens", json={"name": "modality", "role": "reader"}).json()["key"]
    admin.patch(f"/api/v1/accounts/{people.ids[Role.READER]}", json={"role": "viewer"})
    assert browser.get(SESSION).json()["role"] == "viewer"
    assert people.stranger(headers={"Authorization": f"Bearer {key}"}).get(SESSION).json()["role"] == "viewer"


def test_changing_the_password_ends_all_other_sessions(people, actions):
    here, elsewhere = people.signed_in(Role.READER), people.signed_in(Role.READER)
    path = f"{SESSION}/password"
    new = "lemon gravel submarine"
    assert here.put(path, json={"present": "wrong", "new": new}).status_code == 403
    assert here.put(path, json={"present": PASSWORD, "new": "password1234"}).status_code == 400
    old = here.cookies["cxrscreen"]
    changed = here.put(path, json={"present": PASSWORD, "new": new})
    assert changed.status_code == 200
    assert here.cookies["cxrscreen"] != old
    assert here.get(SESSION).status_code == 200
    assert elsewhere.get(SESSION).status_code == 401
    assert try_(people.stranger()).status_code == 401
    assert try_(people.stranger(), password=new).status_code == 200
    assert ("rita", "account.password_changed", "done") in actions()


def test_signing_out_everywhere(people):
    here, elsewhere = people.signed_in(Role.READER), people.signed_in(Role.READER)
    assert here.delete("/api/v1/sessions").status_code == 204
    assert elsewhere.get(SESSION).status_code == 401


def test_an_old_hash_is_made_anew_when_its_password_comes_by(people, context, monkeypatch):
    from argon2 import PasswordHasher

    from cxrscreen.service.security import passwords

    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    assert try_(people.stranger()).status_code == 200
    with context.database.reading() as session:
        kept = session.get_one(tables.User, people.ids[Role.READER]).password_hash
    assert "t=2" in kept
