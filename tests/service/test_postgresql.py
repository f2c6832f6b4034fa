"""The same promises on PostgreSQL, in a cluster of its own."""

import io
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from alembic import command
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError

from cxrscreen.dicom_node.scp import Commitment
from cxrscreen.service import jobs
from cxrscreen.service.app import create_app
from cxrscreen.service.backup import back_up, restore
from cxrscreen.service.context import Context
from cxrscreen.service.dicom_catalogue import list_unlisted
from cxrscreen.service.dicom_objects import export_once
from cxrscreen.service.dicom_outbox import DatabaseOutbox
from cxrscreen.service.dicom_search import find, parse_query
from cxrscreen.service.dicom_store import store_instance
from cxrscreen.service.feed import announce, deliver_once
from cxrscreen.service.feed_targets import feeds_of
from cxrscreen.service.intake import Sender, Upload, take_in
from cxrscreen.service.store import upgrade as steps
from cxrscreen.service.store.database import Database
from cxrscreen.service.store.files import Files
from cxrscreen.service.store.models import Image, Job, Patient, Result, Study
from cxrscreen.service.store.studies import Search, find_studies
from cxrscreen.service.store.upgrade import current_revision, differences, latest_revision, upgrade
from cxrscreen.service.worker import Worker

pytestmark = pytest.mark.services

SENDER = Sender("tester", "api")
TOKEN = "a token for tests only"


def programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def as_postgres():
    """What goes before a command so that it does not run as root, which PostgreSQL refuses."""
    if os.getuid() != 0:
        return []
    known = subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode == 0
    if shutil.which("runuser") is None or not known:
        pytest.skip("PostgreSQL cannot run as root, and there is no user postgres")
    return ["runuser", "-u", "postgres", "--"]


@pytest.fixture(scope="module")
def cluster():
    """A PostgreSQL server of the tests alone; its address."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    prefix = as_postgres()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="cxrscreen-postgresql-") as place:
        if prefix:
            shutil.chown(place, "postgres")
        init = [str(folder / "initdb"), "-D", f"{place}/data", "-U", "cxr", "--auth=trust", "--no-sync"]
        subprocess.run([*prefix, *init, "-E", "UTF8", "--locale=C.UTF-8"], check=True, capture_output=True, cwd="/")
        options = ["-p", str(port), "-k", place, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command = [*prefix, str(folder / "postgres"), "-D", f"{place}/data", *options]
        with Path(place, "log").open("wb") as log:
            server = subprocess.Popen(command, stderr=log, cwd="/")
        url = f"postgresql+psycopg://cxr@127.0.0.1:{port}/postgres"
        end = time.monotonic() + 300
        while not Database(url).ready():
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
        yield url
        stop = [str(folder / "pg_ctl"), "stop", "-m", "fast", "-w", "-D", f"{place}/data"]
        subprocess.run([*prefix, *stop], check=True, capture_output=True, cwd="/")
        server.wait(120)


@pytest.fixture
def postgres(cluster, tmp_path, settings, clock):
    """A service on a new database of the cluster."""
    name = f"d{time.monotonic_ns()}"
    server = create_engine(cluster, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    server.dispose()
    database = Database(cluster.rpartition("/")[0] + f"/{name}")
    upgrade(database)
    context = Context(settings, database, Files(tmp_path / "postgres-files"), clock)
    yield context
    context.close()


def in_threads(count, work):
    ready, failures = threading.Barrier(count), []

    def one(number):
        ready.wait()
        try:
            work(number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_tables_are_those_of_the_code_and_servers_may_start_together(cluster, postgres):
    assert differences(postgres.database) == []
    in_threads(3, lambda _n: upgrade(Database(postgres.database.engine.url.render_as_string(hide_password=False))))
    assert current_revision(postgres.database) == latest_revision()


def test_audit_events_are_only_added(postgres):
    add = (
        "INSERT INTO audit_events (at, actor, actor_kind, action, outcome, details) "
        "VALUES (now(), 'a', 'token', 'b', 'done', '{}')"
    )
    with postgres.database.writing() as session:
        session.connection().exec_driver_sql(add)
    for change in ("UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"):
        with pytest.raises(DBAPIError, match="not changed or deleted"), postgres.database.writing() as session:
            session.connection().exec_driver_sql(change)


def test_clients_that_send_the_same_and_others_at_once(postgres, png, dicom):
    contents = [png(100, seed=n) for n in range(4)] + [dicom(image_number=n + 1) for n in range(4)]

    def client(number):
        for content in contents[number % 2 :] + contents[: number % 2]:
            take_in(postgres, [Upload(io.BytesIO(content))], SENDER)

    in_threads(4, client)
    with postgres.database.reading() as session:
        assert len(session.scalars(select(Image)).all()) == 8
        assert len(session.scalars(select(Study)).all()) == 5
        assert len(session.scalars(select(Job)).all()) == 8


def test_people_under_one_number_stay_apart_when_they_come_at_once(postgres, dicom):
    people = ("PHANTOM^ANNA", "MODEL^PETER", "DUMMY^MARIA")

    def client(number):
        for turn in range(3):
            changes = {"PatientName": people[(number + turn) % 3], "StudyInstanceUID": f"1.2.{number}.{turn}"}
            content = dicom(patient_id="0", image_number=number * 3 + turn + 1, changes=changes)
            take_in(postgres, [Upload(io.BytesIO(content))], SENDER)

    in_threads(6, client)
    with postgres.database.reading() as session:
        known = {patient.id: patient for patient in session.scalars(select(Patient))}
        assert sorted(patient.bearer for patient in known.values()) == [1, 2, 3]
        assert sorted(patient.name for patient in known.values()) == sorted(people)
        assert Counter(study.patient_id for study in session.scalars(select(Study))) == dict.fromkeys(known, 6)
    with postgres.database.engine.begin() as connection:
        config = steps._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0005")
    with postgres.database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM studies WHERE patient_id IS NULL")).scalar() == 12
    upgrade(postgres.database)
    assert differences(postgres.database) == []


def test_workers_share_the_jobs_and_end_each_once(postgres, png, dicom, system):
    contents = [png(100, seed=n) for n in range(6)] + [dicom(image_number=n + 1) for n in range(6)]
    take_in(postgres, [Upload(io.BytesIO(content)) for content in contents], SENDER)

    def run(number):
        worker = Worker(postgres, str(number), lambda _name: system)
        while worker.work_once():
            pass

    in_threads(3, run)
    with postgres.database.reading() as session:
        per_image = Counter(session.scalars(select(Result.image_id)).all())
        assert len(per_image) == 12
        assert set(per_image.values()) == {1}
        assert {job.attempts for job in session.scalars(select(Job))} == {1}
        assert {study.state for study in session.scalars(select(Study))} == {"screened"}


def test_a_leased_job_is_passed_over_and_a_silent_worker_loses_it(postgres, png, clock):
    take_in(postgres, [Upload(io.BytesIO(png(100, seed=n))) for n in range(2)], SENDER)

    def take():
        with postgres.database.writing() as session:
            return jobs.lease(session, "w", ("quick",), clock(), seconds=10, max_attempts=3)

    first, second, third = take(), take(), take()
    assert first.job_id != second.job_id
    assert third is None
    clock.pass_(seconds=11)
    assert {take().job_id, take().job_id} == {first.job_id, second.job_id}
    with pytest.raises(jobs.LeaseLostError), postgres.database.writing() as session:
        jobs.set_aside(session, first, "Too late.", clock())


def test_search_and_a_backup_of_sqlite_restored_into_postgresql(context, send, dicom, work, postgres, tmp_path):
    send(dicom(patient_id="P-1", changes={"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Änne"}))
    work()
    back_up(context, tmp_path / "b.tar.gz")
    counts = restore(postgres, tmp_path / "b.tar.gz")
    assert counts["results"] == 1
    with postgres.database.reading() as session:
        found, total = find_studies(session, Search(patient="ÄNNE", states=("screened",)))
        assert (total, found[0].images[0].results[0].system) == (1, "quick")


def test_the_audit_logs_chain_holds_when_many_write_at_once(postgres):
    from cxrscreen.service.access import Principal, Role
    from cxrscreen.service.security import audit_log
    from cxrscreen.service.store.audit import record

    def write(number):
        for step in range(5):
            record(
                postgres, Principal(f"p{number}", Role.READER, "token"), "study.seen", "study", f"{step:032x}", n=step
            )

    in_threads(6, write)
    with postgres.database.reading() as session:
        check, holds = audit_log.check(session)
    assert (check.events, check.broken_at, holds) == (30, None, True)
    with postgres.database.writing() as session:
        session.execute(text("ALTER TABLE audit_events DISABLE TRIGGER USER"))
        session.execute(text("UPDATE audit_events SET actor = 'somebody else' WHERE number = 17"))
    with postgres.database.reading() as session:
        assert audit_log.check(session)[0].broken_at == 17


def test_what_it_cannot_keep_is_the_clients_fault(postgres):
    with TestClient(create_app(postgres.settings, postgres), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        nothing = client.post("/api/v1/studies/search", json={"patient": "a\0b"})
        assert (nothing.status_code, "cannot keep" in nothing.text) == (422, True)
        assert client.get("/api/v1/audit-log", params={"actor": "a\0b"}).status_code == 422


def test_what_was_not_wholly_screened_comes_first_and_is_counted(postgres, png, dicom, system):
    contents = [png(200), png(0), dicom(), dicom(image_number=2)[:-3000]]
    receipt = take_in(postgres, [Upload(io.BytesIO(content)) for content in contents], SENDER)
    worker = Worker(postgres, "w", lambda _name: system)
    while worker.work_once():
        pass
    urgent, refused, in_part = [item.study_id for item in receipt.taken[:3]]
    with postgres.database.reading() as session:
        assert [study.id for study in find_studies(session, Search())[0]] == [refused, in_part, urgent]
    config = steps._config()
    with postgres.database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
    upgrade(postgres.database)
    with postgres.database.reading() as session:
        counted = {study.id: study.unscreened for study in session.scalars(select(Study))}
    assert counted == {urgent: 0, refused: 1, in_part: 1}
    with TestClient(create_app(postgres.settings, postgres), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        assert "1 screened in part" in client.get("/worklist").text


def test_an_answer_to_a_study_that_is_just_being_deleted_is_told_that_it_is_gone(postgres, png):
    study = take_in(postgres, [Upload(io.BytesIO(png(100)))], SENDER).taken[0].study_id
    said = []

    def answer():
        app = create_app(postgres.settings, postgres)
        with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}, raise_server_exceptions=False) as client:
            path = f"/api/v1/studies/{study}/feedback"
            said.append(client.post(path, json={"final_diagnosis": "normal"}).status_code)

    answering = threading.Thread(target=answer)
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with postgres.database.writing() as session:
        session.delete(session.scalars(select(Study).where(Study.id == study).with_for_update(of=Study)).one())
        session.flush()
        answering.start()
        end = time.monotonic() + 60
        # The figures of a transaction stand still; another connection sees them move.
        while not said and time.monotonic() < end:
            with postgres.database.engine.connect() as connection:
                if connection.scalar(waiting):
                    break
            time.sleep(0.05)
        assert said == []
    answering.join()
    assert said == [404]


def test_attempts_to_sign_in_count_together(postgres):
    from cxrscreen.service.security.attempts import TooManyAttemptsError, count_attempt

    refused = []

    def guess(number):
        for _ in range(3):
            try:
                count_attempt(postgres, "rita", f"10.0.0.{number}")
            except TooManyAttemptsError:
                refused.append(number)

    in_threads(6, guess)
    assert 18 - len(refused) == postgres.settings.attempts_per_account


def test_what_many_ask_for_at_one_moment_is_done_once(postgres, png, system):
    receipt = take_in(postgres, [Upload(io.BytesIO(png(100)))], SENDER)
    (image,) = (item.image_id for item in receipt.taken)
    worker = Worker(postgres, "w", lambda _name: system)
    token = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(create_app(postgres.settings, postgres), headers=token) as client:

        def together(number, path, body):
            answers = []
            in_threads(number, lambda _n: answers.append(client.post(path, json=body)))
            return answers

        for turn in range(6):
            asked = together(3, f"/api/v1/images/{image}/screenings", {"system": "second"})
            assert [answer.status_code for answer in asked] == [202] * 3
            assert len({answer.json()["id"] for answer in asked}) == 1
            while worker.work_once():
                pass
            account = {"name": f"bob{turn}", "role": "viewer", "password": "walrus bicycle tangerine"}
            made = together(2, "/api/v1/accounts", account)
            assert sorted(answer.status_code for answer in made) == [201, 409]


def test_two_administrators_do_not_shut_each_other_out(postgres):
    from cxrscreen.service.access import Role
    from cxrscreen.service.problems import ConflictError
    from cxrscreen.service.security import accounts

    with postgres.database.writing() as session:
        ids = [accounts.add_account(session, f"a{n}", Role.ADMIN, postgres.now()).id for n in range(2)]
    refused = []

    def shut(number):
        try:
            with postgres.database.writing() as session:
                accounts.disable(session, accounts.account(session, ids[1 - number]), postgres.now())
        except ConflictError:
            refused.append(number)

    in_threads(2, shut)
    assert len(refused) == 1


def test_instances_come_in_are_found_and_their_results_are_queued_once(postgres, dicom, system, clock, client):
    peer = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    hook = {"name": "ris", "url": "https://ris.example", "secret": "a secret of sixteen or more"}
    changes = {"node": {"peers": [peer]}, "webhooks": [hook], "feed_quiet_seconds": 0}
    settings = type(postgres.settings)(**{**postgres.settings.model_dump(), **changes})
    context = replace(postgres, settings=settings)
    (feed,) = feeds_of(settings)
    announce(context, feed)
    contents = [dicom(image_number=number) for number in range(1, 5)]
    in_threads(8, lambda number: store_instance(context, contents[number % 4], SENDER))
    worker = Worker(context, "w", lambda _name: system)
    while worker.work_once():
        pass
    in_threads(3, lambda _number: [None for _ in iter(lambda: export_once(context), False)])
    with context.database.reading() as session:
        for level, lines in (("study", 1), ("series", 21), ("instance", 28)):
            query, _ = parse_query([("StudyDate", "20200101-"), ("PatientName", "phantom*"), ("limit", "500")])
            assert len(find(session, level, query)[0]) == lines, level
    one, other = DatabaseOutbox(context, "pacs", "one"), DatabaseOutbox(context, "pacs", "other")
    assert len(one.pending()) == 24
    assert other.pending() == ()
    one.awaiting("1.2", one.pending())
    assert one.committed(Commitment("1.2", (), ()))
    told = []
    in_threads(4, lambda _number: told.append(announce(context, feed)))
    assert sum(told) == 1

    def meanwhile(_request):
        clock.pass_(seconds=1)
        store_instance(context, dicom(image_number=5), SENDER)
        while worker.work_once():
            pass
        while export_once(context):
            pass
        assert announce(context, feed) == 1
        with httpx2.Client() as second:
            assert not deliver_once(context, feed, "other", second)
        return httpx2.Response(500)

    with httpx2.Client(transport=httpx2.MockTransport(meanwhile)) as first:
        assert deliver_once(context, feed, "one", first)
    with TestClient(create_app(settings, context), headers={"Authorization": f"Bearer {TOKEN}"}) as asking:
        assert asking.get("/api/v1/deliveries").json()["counts"][feed.name] == {"superseded": 1, "pending": 1}
    with TestClient(create_app(settings, context), headers={"Authorization": f"Bearer {TOKEN}"}) as asking:
        assert asking.get("/fhir/DiagnosticReport?_include=DiagnosticReport:result").json()["total"] == 5
        assert asking.get("/api/v1/deliveries").json()["counts"]["peer:pacs"] == {"pending": 30}
    assert list_unlisted(context) == 0
