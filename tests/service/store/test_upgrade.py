import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import DatabaseError as Refused

from cxrscreen.service.store.database import Database, DatabaseError
from cxrscreen.service.store.upgrade import current_revision, differences, latest_revision, upgrade


def test_the_tables_are_those_of_the_code(context):
    assert current_revision(context.database) == latest_revision()
    assert differences(context.database) == []
    assert upgrade(context.database) == latest_revision()


def test_steps_can_be_taken_back(tmp_path):
    from alembic import command

    from cxrscreen.service.store import upgrade as module

    database = Database(f"sqlite:///{tmp_path / 'd.sqlite'}")
    upgrade(database)
    with database.engine.begin() as connection:
        config = module._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
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
