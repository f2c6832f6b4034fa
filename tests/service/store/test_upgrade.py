import json

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.exc import DatabaseError as Refused

from cxrscreen.service.store.database import Database, DatabaseError
from cxrscreen.service.store.models import Image, Study
from cxrscreen.service.store.studies import refresh_study
from cxrscreen.service.store.upgrade import current_revision, differences, latest_revision, upgrade


def test_the_tables_are_those_of_the_code(context):
    assert current_revision(context.database) == latest_revision()
    assert differences(context.database) == []
    assert upgrade(context.database) == latest_revision()


def step_back(database, revision):
    from alembic import command

    from cxrscreen.service.store import upgrade as module

    with database.engine.begin() as connection:
        config = module._config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_steps_can_be_taken_back(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'd.sqlite'}")
    upgrade(database)
    step_back(database, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    assert upgrade(database) == latest_revision()


def test_audit_events_are_only_added(context):
    with context.database.writing() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO audit_events (at, actor, actor_kind, action, outcome, details) "
            "VALUES ('2026-01-01', 'a', 'token', 'b', 'done', '{}')"
        )
    for change in ("UPDATE audit_events SET actor = 'other'", "DELETE FROM audit_events"):
        with pytest.raises(Refused, match="not changed or deleted"), context.database.writing() as session:
            session.connection().exec_driver_sql(change)


def test_a_later_database_is_refused(context):
    with context.database.writing() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="later version"):
        upgrade(context.database)


@pytest.mark.parametrize("url", ["mysql://host/name", "nonsense", "postgresql+nodriver://host/name"])
def test_another_kind_of_database_is_refused_without_its_password(url):
    with pytest.raises(DatabaseError):
        Database(url)


def test_a_database_that_is_away_is_one_sentence(tmp_path):
    with pytest.raises(DatabaseError, match="check that it runs"):
        upgrade(Database(f"sqlite:///{tmp_path / 'none' / 'd.sqlite'}"))


def test_studies_keep_their_patients_when_a_number_may_be_several_peoples(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'd.sqlite'}")
    upgrade(database, "0005")
    with database.writing() as session:
        write = session.connection().exec_driver_sql
        write("INSERT INTO patients (id, reference, issuer, created_at) VALUES ('p', '7', '', '2026-01-01')")
        write(
            "INSERT INTO studies (id, patient_id, source, received_at, state) "
            "VALUES ('s', 'p', 'api', '2026-01-01', 'waiting')"
        )
        write(
            "INSERT INTO images (id, study_id, sha256, size_bytes, format, rows, columns, received_at) "
            "VALUES ('i', 's', 'x', 1, 'PNG', 1, 1, '2026-01-01')"
        )
    upgrade(database)
    with database.reading() as session:
        image = session.get(Image, "i")
        assert (image.study.patient.reference, image.study.patient.bearer) == ("7", 1)
        assert (image.study.patient_contradicted, image.other_patient) == (False, None)
    step_back(database, "0005")
    with database.reading() as session:
        assert session.connection().exec_driver_sql("SELECT patient_id FROM studies").scalar() == "p"


def test_images_without_a_score_are_counted_in_studies_that_were_there_before(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'd.sqlite'}")
    upgrade(database, "0006")
    # By study: the outcomes of the worklist's jobs of each of its images, in the order of their rounds.
    score = {"done": 0.4, "refused": None, "lateral": None}
    outcomes = {
        "whole": (("done",), ("done",)),
        "partly": (("done",), ("refused",), ("set_aside",)),
        "waits": (("done",), ("refused", "waiting")),
        "again": (("refused", "done"), ("done", "refused"), ("done", "set_aside")),
        "both views": (("done",), ("lateral",)),
        "lateral alone": (("lateral",), ("refused",)),
    }
    with database.writing() as session:
        write = session.connection().exec_driver_sql
        for study, images in outcomes.items():
            write(
                "INSERT INTO studies (id, source, received_at, state, patient_contradicted) "
                f"VALUES ('{study}', 'api', '2026-01-01', 'screened', 0)"
            )
            for n, jobs in enumerate(images):
                image = f"{study}-{n}"
                write(
                    "INSERT INTO images (id, study_id, sha256, size_bytes, format, rows, columns, received_at) "
                    f"VALUES ('{image}', '{study}', '{image}', 1, 'PNG', 1, 1, '2026-01-01')"
                )
                for number, outcome in enumerate(jobs, 1):
                    add_job(write, image, "quick", number, True, outcome, score)
                add_job(write, image, "second", 1, False, "done", score)
    upgrade(database)
    with database.reading() as session:
        counted = {study.id: study.unscreened for study in session.scalars(select(Study))}
        assert counted == {
            "whole": 0,
            "partly": 2,
            "waits": 0,
            "again": 1,
            "both views": 0,
            "lateral alone": 2,
        }
    with database.writing() as session:
        for study in outcomes:
            refresh_study(session, study)
        assert {study.id: study.unscreened for study in session.scalars(select(Study))} == counted
    step_back(database, "0006")
    assert "unscreened" not in {column["name"] for column in inspect(database.engine).get_columns("studies")}


def add_job(write, image, system, number, orders, outcome, score):
    job = f"{image}-{system}-{number}"
    state = outcome if outcome in ("waiting", "set_aside") else "done"
    write(
        "INSERT INTO jobs (id, image_id, system, round, orders_worklist, priority, state, attempts, not_before, "
        f"created_at) VALUES ('{job}', '{image}', '{system}', {number}, {int(orders)}, 0, '{state}', 1, '2026-01-01', "
        "'2026-01-01')"
    )
    if outcome in score:
        value = "NULL" if score[outcome] is None else score[outcome]
        record = {"verdict": {"concerns": [{"code": outcome}]}} if outcome == "lateral" else {}
        write(
            "INSERT INTO results (id, job_id, image_id, system, bundle, status, triage_score, record, stages, classes, "
            f"made_at) VALUES ('{job}', '{job}', '{image}', '{system}', 'b', "
            f"'{'screened' if score[outcome] else 'refused'}', {value}, '{json.dumps(record)}', '[]', '{{}}', "
            f"'2026-01-0{number}')"
        )
