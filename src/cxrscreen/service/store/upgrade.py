"""The database's tables brought to this version's state, by one process at a time."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cxrscreen.service.store import exchange, people  # noqa: F401 - for the tables that they define
from cxrscreen.service.store.database import WRITES, Database, DatabaseError
from cxrscreen.service.store.models import Base

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 4_215_926_781
"""Any number that nobody else takes as advisory lock in this database."""


def upgrade(database: Database, revision: str = "head") -> str:
    """Bring the tables to this version's state; where they are, nothing happens.

    Parameters
    ----------
    database
        An empty one, or one of this or an earlier version.
    revision
        How far; ``"head"``: this version's.

    Returns
    -------
    str
        The revision reached.

    Raises
    ------
    DatabaseError
        If the database cannot be reached, is of a later version, or a step fails.
    """
    try:
        with database.engine.connect() as connection:
            connection.execution_options(**{WRITES: True})
            with connection.begin():
                if not database.is_sqlite:
                    # Released with the transaction, so that servers that start together take turns.
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                return _revision(connection) or ""
    except CommandError as error:
        raise DatabaseError(
            "The database is of a later version than this software; install that version or restore a backup."
        ) from error
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"The database could not be opened or brought up to date ({type(error).__name__}); check that it runs, "
            "its address, its disk and the user's rights."
        ) from error


def current_revision(database: Database) -> str | None:
    """Return the state of the tables, None for an empty database."""
    with database.engine.connect() as connection:
        return _revision(connection)


def latest_revision() -> str:
    """Return the state of the tables that this version works with."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def differences(database: Database) -> list[object]:
    """List how the tables in the database differ from those in the code; empty after :func:`upgrade`."""
    with database.engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.attributes["metadata"] = Base.metadata
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
