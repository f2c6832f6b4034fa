"""Signing in by an identity provider: the rules with tokens made here, the way with a provider process."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from pydantic import SecretStr
from sqlalchemy import select

from cxrscreen.service.access import Role
from cxrscreen.service.app import create_app
from cxrscreen.service.problems import NotSignedInError
from cxrscreen.service.security import identity_provider
from cxrscreen.service.security.accounts import add_account
from cxrscreen.service.security.identity_provider import Identity, Provider, ProviderError
from cxrscreen.service.security.single_sign_on import _own_path
from cxrscreen.service.security.tokens import make_token
from cxrscreen.service.settings import IdentityProvider, SettingsError, load_settings
from cxrscreen.service.store.people import SignOn, Token, User

ISSUER = "https://id.hospital.example"
OIDC = IdentityProvider(
    issuer=ISSUER, client_id="cxrscreen", roles={"radiology": "reader", "it": "admin", "ward": "viewer"}
)
KEY = RSAKey.generate_key(2048, parameters={"kid": "one"})
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}


@pytest.fixture
def answers(monkeypatch):
    """What the provider answers to questions about itself."""
    said = {
        f"{ISSUER}/.well-known/openid-configuration": dict(METADATA),
        f"{ISSUER}/keys": KeySet([KEY]).as_dict(private=False),
    }
    asked = []
    monkeypatch.setattr(identity_provider, "_asked", lambda address: asked.append(address) or said[address])
    said["asked"] = asked
    return said


def token(key=KEY, alg="RS256", **claims):
    now = int(time.time())
    told = {"iss": ISSUER, "aud": "cxrscreen", "sub": "s-1", "nonce": "n", "iat": now, "exp": now + 60, **claims}
    told = {name: value for name, value in told.items() if value is not None}
    return {"id_token": jwt.encode({"alg": alg, "kid": "one"}, told, key, algorithms=[alg]), "access_token": "a"}


def provider():
    return Provider(OIDC, "secret", "https://cxr.hospital.example/sign-in/provider/back")


def test_a_good_token(answers):
    assert provider()._checked(token(), "n")["sub"] == "s-1"


@pytest.mark.parametrize(
    "made",
    [
        token(iss="https://evil.example"),
        token(aud="another-service"),
        token(aud=["cxrscreen", "another-service"], azp="another-service"),
        token(nonce="another"),
        token(nonce=None),
        token(sub=None),
        token(exp=int(time.time()) - 3600),
        token(exp=None),
        token(RSAKey.generate_key(2048, parameters={"kid": "one"})),
        token(OctKey.import_key("secret" * 8), alg="HS256"),
        {"id_token": token()["id_token"].rpartition(".")[0] + "."},
        {"id_token": "eyJhbGciOiJub25lIn0." + token()["id_token"].split(".")[1] + "."},
        {"id_token": ""},
    ],
    ids=[
        "issuer",
        "audience",
        "meant for another",
        "nonce",
        "no nonce",
        "no subject",
        "expired",
        "never expires",
        "another key",
        "signed by the common secret",
        "signature cut off",
        "unsigned",
        "none",
    ],
)
def test_tokens_that_are_not_good(answers, made, monkeypatch):
    class Client:
        def __enter__(self):
            return self

        def __exit__(self, *_given):
            return None

        def fetch_token(self, *_given, **_named):
            return made

    alone = provider()
    monkeypatch.setattr(alone, "_client", Client)
    with pytest.raises(NotSignedInError):
        alone.identity("code", verifier="v", nonce="n")


def test_a_new_key_is_asked_for_once_more(answers):
    alone = provider()
    alone._checked(token(), "n")
    changed = RSAKey.generate_key(2048, parameters={"kid": "one"})
    answers[f"{ISSUER}/keys"] = KeySet([changed]).as_dict(private=False)
    assert alone._checked(token(changed), "n")["sub"] == "s-1"
    assert answers["asked"].count(f"{ISSUER}/keys") == 2


def test_a_provider_by_another_name(answers):
    answers[f"{ISSUER}/.well-known/openid-configuration"]["issuer"] = "https://evil.example"
    with pytest.raises(ProviderError, match=r"oidc\.issuer"):
        provider().address(state="s", nonce="n", verifier="v" * 43)


class Silent:
    """A provider that takes every connection and never answers.

    Parameters
    ----------
    issuer
        Its address.
    asked
        Connections so far.
    """

    def __init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.issuer = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        self.asked: list[socket.socket] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                self.asked.append(self._door.accept()[0])

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join(10)
        for connection in self.asked:
            connection.close()


@pytest.fixture
def silent(monkeypatch):
    monkeypatch.setattr(identity_provider, "_SECONDS", 1.5)
    provider = Silent()
    yield provider
    provider.close()


def at_once(number, ask):
    """Ask as often at one moment; give how long each waited for its refusal."""
    ready, waited = threading.Barrier(number), []

    def one():
        ready.wait()
        begun = time.monotonic()
        with pytest.raises(ProviderError):
            ask()
        waited.append(time.monotonic() - begun)

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waited) == number
    return sorted(waited)


def test_one_waits_for_a_silent_provider_and_nobody_for_a_while_after(silent, monkeypatch):
    settings = OIDC.model_copy(update={"issuer": silent.issuer})
    alone = Provider(settings, "secret", "http://127.0.0.1/sign-in/provider/back")
    waited = at_once(12, lambda: alone.address(state="s", nonce="n", verifier="v" * 43))
    assert waited[-1] > 1.4
    assert waited[-2] < 1
    assert at_once(12, lambda: alone.address(state="s", nonce="n", verifier="v" * 43))[-1] < 1
    assert len(silent.asked) == 1
    monkeypatch.setattr(identity_provider, "_SILENT_SECONDS", 0)
    assert at_once(1, lambda: alone.address(state="s", nonce="n", verifier="v" * 43))[0] > 1.4
    assert len(silent.asked) == 2


def test_what_is_known_serves_while_somebody_asks_anew(answers, monkeypatch):
    alone = provider()
    assert alone.address(state="s", nonce="n", verifier="v" * 43).startswith(f"{ISSUER}/authorize?")
    asking, told = threading.Event(), threading.Event()

    def slow(_address):
        asking.set()
        assert told.wait(60)
        return {**METADATA, "authorization_endpoint": f"{ISSUER}/new"}

    monkeypatch.setattr(identity_provider, "_REMEMBERED_SECONDS", 0.0)
    monkeypatch.setattr(identity_provider, "_asked", slow)
    renewing = threading.Thread(target=alone.address, kwargs={"state": "s", "nonce": "n", "verifier": "v" * 43})
    renewing.start()
    assert asking.wait(60)
    assert alone.address(state="s", nonce="n", verifier="v" * 43).startswith(f"{ISSUER}/authorize?")
    told.set()
    renewing.join()
    monkeypatch.setattr(identity_provider, "_REMEMBERED_SECONDS", 3600.0)
    assert alone.address(state="s", nonce="n", verifier="v" * 43).startswith(f"{ISSUER}/new?")


def test_codes_are_exchanged_a_few_at_a_time(silent, answers):
    answers[f"{ISSUER}/.well-known/openid-configuration"]["token_endpoint"] = f"{silent.issuer}/token"
    alone = provider()
    waited = at_once(12, lambda: alone.identity("code", verifier="v" * 43, nonce="n"))
    assert sum(seconds > 1.4 for seconds in waited) == len(silent.asked) == identity_provider._AT_ONCE
    assert at_once(1, lambda: alone.identity("code", verifier="v" * 43, nonce="n"))[0] > 1.4


def test_the_address_holds_the_challenge_and_not_the_verifier(answers):
    verifier = "v" * 43
    query = parse_qs(urlsplit(provider().address(state="s", nonce="n", verifier=verifier)).query)
    assert query["code_challenge_method"] == ["S256"]
    assert (query["state"], query["nonce"], query["response_type"]) == (["s"], ["n"], ["code"])
    assert query["redirect_uri"] == ["https://cxr.hospital.example/sign-in/provider/back"]
    assert verifier not in str(query)


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/worklist?x=1", "/worklist?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_where_somebody_comes_back_to(path, own):
    assert _own_path(path) == own


@pytest.mark.parametrize(
    "given",
    [
        {"oidc": OIDC},
        {"oidc": OIDC.model_copy(update={"issuer": "http://id.hospital.example"}), "public_url": "https://c.example"},
        {"public_url": "http://cxr.hospital.example"},
        {"public_url": "cxr.hospital.example"},
    ],
)
def test_settings_that_would_be_unsafe(given):
    with pytest.raises(SettingsError):
        load_settings(**{name: value.model_dump() if name == "oidc" else value for name, value in given.items()})


@pytest.fixture
def world(context, answers, monkeypatch):
    """The service with a provider whose people are made here."""
    settings = context.settings.model_copy(
        update={"oidc": OIDC, "oidc_secret": SecretStr("secret"), "public_url": "https://cxr.hospital.example"}
    )
    app = create_app(settings, replace(context, settings=settings))
    person = {"who": Identity(ISSUER, "s-1", "maria", "Maria", ("radiology", "choir"))}
    monkeypatch.setattr(app.state.provider, "identity", lambda _code, **_given: person["who"])

    def browser():
        return TestClient(app, base_url="https://cxr.hospital.example", follow_redirects=False)

    def go(client, return_to="/worklist"):
        away = client.get("/sign-in/provider", params={"return_to": return_to})
        state = parse_qs(urlsplit(away.headers["location"]).query)["state"][0]
        return client.get("/sign-in/provider/back", params={"state": state, "code": "c"})

    return app, person, browser, go


def test_an_account_is_made_and_found_again(world, context, actions):
    _, person, browser, go = world
    client = browser()
    back = go(client, "/studies/1")
    assert (back.status_code, back.headers["location"]) == (303, "/studies/1")
    assert client.get("/api/v1/session").json()["role"] == "reader"
    person["who"] = replace(person["who"], name="maria.renamed", groups=("it",))
    again = browser()
    go(again)
    assert again.get("/api/v1/session").json()["name"] == "maria"
    assert again.get("/api/v1/session").json()["role"] == "admin"
    with context.database.reading() as session:
        assert len(session.scalars(select(User)).all()) == 1
        assert session.scalars(select(SignOn)).all() == []
    assert actions() == [("maria", "session.opened", "done")] * 2


def test_no_group_no_access_and_a_name_that_is_taken_is_not_taken_over(world, context, people):
    _, person, browser, go = world
    person["who"] = replace(person["who"], groups=("choir",))
    assert go(browser()).status_code == 403
    person["who"] = replace(person["who"], name="anna", groups=("ward",))
    client = browser()
    assert go(client).status_code == 409
    assert client.get("/api/v1/session").status_code == 401
    person["who"] = replace(person["who"], name="not a name at all!")
    assert go(browser()).status_code == 403


def test_who_comes_back_without_a_group_keeps_neither_session_nor_token(world, context, actions):
    _, person, browser, go = world
    client = browser()
    go(client)
    key = client.post(
        "/api/v1/tokens",
        json={"name": "modality", "role": "reader", "days": None},
        headers={"X-CSRF-Token": client.get("/api/v1/session").json()["csrf_token"]},
    ).json()["key"]
    program = browser()
    program.headers["Authorization"] = f"Bearer {key}"
    assert program.get("/api/v1/session").json()["role"] == "reader"
    others = people_of(context, "s-2")
    person["who"] = replace(person["who"], groups=("choir",))
    assert go(browser()).status_code == 403
    assert client.get("/api/v1/session").status_code == 401
    assert program.get("/api/v1/session").status_code == 401
    with context.database.reading() as session:
        assert session.get_one(Token, others).revoked_at is None
    assert actions()[-2:] == [("nobody", "account.access_ended", "done"), ("nobody", "session.opened", "refused")]
    person["who"] = replace(person["who"], groups=("ward",))
    again = browser()
    assert go(again).status_code == 303
    assert again.get("/api/v1/session").json()["role"] == "viewer"
    assert program.get("/api/v1/session").status_code == 401


def people_of(context, subject):
    """Make another account of the provider, with a token; give the token's identifier."""
    with context.database.writing() as session:
        user = add_account(session, f"other-{subject}", Role.READER, context.now())
        user.oidc_issuer, user.oidc_subject = ISSUER, subject
        return make_token(session, "other", Role.READER, context.now(), owner=user, days=1).token_id


def test_a_shut_account_stays_shut(world, context):
    _, _, browser, go = world
    go(browser())
    with context.database.writing() as session:
        session.scalars(select(User)).one().disabled_at = context.now()
    assert go(browser()).status_code == 403


def test_nobody_comes_back_twice_with_anothers_state_or_too_late(world, clock):
    _, _, browser, _ = world

    def away(client):
        address = client.get("/sign-in/provider").headers["location"]
        return parse_qs(urlsplit(address).query)["state"][0]

    def back(client, state, **more):
        return client.get("/sign-in/provider/back", params={"state": state, "code": "c", **more}).status_code

    victim, attacker = browser(), browser()
    away(victim)
    assert back(victim, "é") == 401
    state, stolen = away(victim), away(attacker)
    assert back(victim, stolen) == 401
    assert back(victim, state) == 401
    state = away(victim)
    assert back(browser(), state) == 401
    assert back(victim, state, iss="https://evil.example") == 401
    state = away(victim)
    clock.pass_(minutes=11)
    assert back(victim, state) == 401
    state = away(victim)
    assert back(victim, state, iss=ISSUER) == 303
    assert back(victim, state) == 401


def test_strangers_who_come_back_leave_nothing_in_the_audit_log(world, actions):
    _, _, browser, _ = world
    client = browser()
    assert client.get("/sign-in/provider/back").status_code == 401
    for _ in range(3):
        address = client.get("/sign-in/provider").headers["location"]
        state = parse_qs(urlsplit(address).query)["state"][0]
        assert client.get("/sign-in/provider/back", params={"state": state}).status_code == 401
    assert actions() == []


def test_without_a_provider_there_is_none(people):
    assert people.stranger().get("/sign-in/provider").status_code == 404


@pytest.fixture(scope="module")
def running_provider():
    """A provider process, reached by this machine alone."""
    pytest.importorskip("oidc_provider_mock", reason="oidc-provider-mock is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    person = {"sub": "s-9", "preferred_username": "maria", "name": "Maria", "groups": ["radiology"]}
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    process = subprocess.Popen(
        [*command, "--user-claims", json.dumps(person)], stderr=subprocess.DEVNULL, env={**os.environ}
    )
    issuer = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 120
    while True:
        try:
            httpx2.get(f"{issuer}/.well-known/openid-configuration", timeout=30).raise_for_status()
            break
        except httpx2.HTTPError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
    yield issuer
    process.terminate()
    process.wait(30)


@pytest.mark.services
def test_with_a_provider_process(context, running_provider):
    settings = context.settings.model_copy(
        update={
            "oidc": OIDC.model_copy(update={"issuer": running_provider}),
            "oidc_secret": SecretStr("secret"),
            "public_url": "http://127.0.0.1:8080",
        }
    )
    app = create_app(settings, replace(context, settings=settings))
    client = TestClient(app, base_url="http://127.0.0.1:8080", follow_redirects=False)
    away = client.get("/sign-in/provider", params={"return_to": "/worklist"})
    assert away.status_code == 303
    # What the person does there: choose who they are and consent.
    consent = httpx2.post(away.headers["location"], data={"sub": "s-9"}, timeout=60)
    assert consent.status_code == 302
    returning = consent.headers["location"]
    assert returning.startswith("http://127.0.0.1:8080/sign-in/provider/back?")
    back = client.get(returning)
    assert (back.status_code, back.headers["location"]) == (303, "/worklist")
    assert client.get("/api/v1/session").json()["name"] == "maria"
    assert client.get("/api/v1/session").json()["role"] == Role.READER.name.lower()
    assert client.get(returning).status_code == 401
