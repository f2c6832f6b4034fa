"""The database: opening it, and transactions that read or write."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from cxrscreen.errors import CxrscreenError

WRITES: Final = "cxrscreen_writes"
"""Execution option of a connection whose transactions write."""
SQLITE_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
"""Readers do not wait for the writer, and a commit survives a loss of power."""
_BUSY_SECONDS: Final = 30


class DatabaseError(CxrscreenError):
    """A database that cannot be opened, reached or brought up to date."""


class Database:
    """A database of the service, SQLite or PostgreSQL, and its transactions.

    Parameters
    ----------
    url
        For SQLAlchemy, for example ``sqlite:///service.sqlite`` or ``postgresql+psycopg://user:password@host/name``.

    Raises
    ------
    DatabaseError
        If the address is malformed or names another kind of database.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite, which locks as a whole."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one state of the database and changes nothing."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session whose changes are durable once the block ends, all or none.

        On SQLite the block waits its turn to write at its beginning, so that what it reads does not change before it
        writes.
        """
        with self.engine.connect() as connection:
            connection.execution_options(**{WRITES: True})
            with Session(connection, expire_on_commit=False) as session, session.begin():
                yield session

    def ready(self) -> bool:
        """Tell whether the database answers."""
        try:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        kind = make_url(url).get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise DatabaseError(f"A database of the kind {kind!r} is not served; use SQLite or PostgreSQL (psycopg).")
        if kind == "sqlite":
            engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(url, pool_pre_ping=True)
    except (ArgumentError, ImportError) as error:
        raise DatabaseError(
            "The database's address cannot be used; write it as postgresql+psycopg://user:password@host/name."
        ) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own way to begin transactions is switched off; _begin_sqlite does it.
    connection.isolation_level = None
    # Its own one knows the letters of English alone, and names are searched with it.
    connection.create_function("lower", 1, _lower, deterministic=True)
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
