import json

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app

PASSWORD = "walrus bicycle tangerine\n"


@pytest.fixture
def run(context):
    def command(*words, given=""):
        return CliRunner().invoke(app, [*words, "--folder", str(context.settings.folder)], input=given)

    return command


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.delenv("CXRSCREEN_DATABASE", raising=False)


def test_accounts_from_the_console(run, people, actions):
    assert run("users", "add", "Nora", "--role", "reader", given=PASSWORD).exit_code == 0
    client = people.stranger()
    credentials = {"name": "nora", "password": PASSWORD.strip()}
    assert client.post("/api/v1/session", json=credentials).json()["role"] == "reader"
    assert run("users", "role", "nora", "viewer").exit_code == 0
    assert client.get("/api/v1/session").json()["role"] == "viewer"
    assert run("users", "password", "nora", given="lemon gravel submarine\n").exit_code == 0
    assert client.get("/api/v1/session").status_code == 401
    assert run("users", "disable", "nora").exit_code == 0
    listed = run("users", "list").output
    assert "nora" in listed
    assert "shut since" in listed
    assert run("users", "enable", "nora").exit_code == 0
    done = [action for actor, action, _ in actions() if actor.startswith("console")]
    assert done == [
        "account.added",
        "account.changed",
        "account.password_given",
        "account.changed",
        "account.listed",
        "account.changed",
    ]


MISTAKES = (
    (("add", "weak", "--role", "reader"), "password1234\n", "easily guessed"),
    (("add", "empty", "--role", "reader"), "", "too short"),
    (("add", "anna", "--role", "reader"), PASSWORD, "already"),
    (("role", "nobody", "reader"), "", "no such account"),
    (("disable", "anna"), "", "only administrator"),
)


def test_one_sentence_where_it_cannot_be(run, people):
    for words, given, sentence in MISTAKES:
        done = run("users", *words, given=given)
        assert done.exit_code == 2
        assert sentence in done.output
        assert "Traceback" not in done.output


def test_tokens_from_the_console(run, people):
    made = run("tokens", "add", "modality 3", "--role", "reader", "--days", "1")
    key = next(line for line in made.output.splitlines() if line.startswith("cxs_"))
    client = people.stranger(headers={"Authorization": f"Bearer {key}"})
    assert client.get("/api/v1/session").json()["name"] == "modality 3"
    assert key not in run("tokens", "list").output
    with people.context.database.reading() as session:
        from cxrscreen.service.store.people import Token

        token_id = session.query(Token).one().id
    assert run("tokens", "revoke", token_id).exit_code == 0
    assert client.get("/api/v1/session").status_code == 401


def test_the_audit_log_from_the_console(run, people, tmp_path, context):
    run("users", "list")
    whole = run("audit-log", "check")
    assert whole.exit_code == 0
    kept = whole.output.strip().splitlines()[-1]
    assert run("audit-log", "check", "--kept", kept).exit_code == 0
    out = tmp_path / "log.jsonl"
    assert run("audit-log", "export", "--out", str(out)).exit_code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3, 4]
    assert run("audit-log", "export", "--out", str(out)).exit_code == 2
    assert run("audit-log", "check", "--kept", "nonsense").exit_code == 2
    from sqlalchemy import text

    with context.database.writing() as session:
        session.execute(text("DROP TRIGGER audit_events_no_update"))
        session.execute(text("UPDATE audit_events SET actor = 'somebody else' WHERE number = 2"))
    broken = run("audit-log", "check")
    assert broken.exit_code == 1
    assert "Event 2" in broken.output
