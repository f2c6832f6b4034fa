from cxrscreen.service.access import Role
from cxrscreen.service.store.people import Token

TOKENS = "/api/v1/tokens"


def make(client, **given):
    return client.post(TOKENS, json={"name": "modality", "role": "viewer", **given})


def test_made_used_listed_revoked(people, context, clock):
    client = people.signed_in(Role.READER)
    made = make(client, role="reader", days=30).json()
    program = people.stranger(headers={"Authorization": f"bearer {made['key']}"})
    assert program.get("/api/v1/session").json() == {
        "name": "modality (rita)",
        "role": "reader",
        "kind": "token",
        "csrf_token": None,
        "expires_at": None,
    }
    (listed,) = client.get(TOKENS).json()
    assert "key" not in listed
    assert listed["last_used_at"] is not None
    with context.database.reading() as session:
        assert made["key"] not in repr(vars(session.query(Token).one()))
    assert client.delete(f"{TOKENS}/{made['id']}").status_code == 204
    assert program.get("/api/v1/session").status_code == 401


def test_it_expires(people, clock):
    client = people.signed_in(Role.READER)
    key = make(client, days=1).json()["key"]
    program = people.stranger(headers={"Authorization": f"Bearer {key}"})
    clock.pass_(hours=23)
    assert program.get("/api/v1/session").status_code == 200
    clock.pass_(hours=1)
    assert program.get("/api/v1/session").status_code == 401


def test_no_more_than_its_owner(people):
    answer = make(people.signed_in(Role.VIEWER), role="reader")
    assert answer.status_code == 400
    assert "lower role" in answer.json()["detail"]


def test_a_token_begets_none(people):
    assert make(people.with_token(Role.ADMIN)).status_code == 403


def test_nobody_sees_or_revokes_anothers_but_an_administrator(people):
    rita, vera, anna = (people.signed_in(role) for role in (Role.READER, Role.VIEWER, Role.ADMIN))
    made = make(rita).json()
    assert vera.get(TOKENS).json() == []
    assert vera.delete(f"{TOKENS}/{made['id']}").status_code == 404
    assert people.with_token(Role.READER).get(TOKENS).json() == []
    assert people.with_token(Role.READER).delete(f"{TOKENS}/{made['id']}").status_code == 404
    assert [token["id"] for token in rita.get(TOKENS).json()] == [made["id"]]
    assert made["id"] in [token["id"] for token in anna.get(TOKENS).json()]
    assert anna.delete(f"{TOKENS}/{made['id']}").status_code == 204


def test_what_is_no_token(people):
    client = people.stranger()
    for value in ("Bearer", "Bearer ", "Basic cxs_x", "cxs_x", "Bearer cxs_", "Bearer \u00e9", "é"):
        answer = client.get("/api/v1/session", headers={"Authorization": value.encode("latin-1")})
        assert answer.status_code == 401
