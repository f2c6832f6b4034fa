import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import DatabaseError as Refused

from cxrscreen.service.store.database import Database, DatabaseError
from cxrscreen.service.store.models import Image
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
