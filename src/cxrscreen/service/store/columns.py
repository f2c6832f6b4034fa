"""The base of all tables and the kinds of column that they share."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from sqlalchemy import DateTime, Dialect, MetaData, String
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator


def new_id() -> str:
    """Draw an identifier that says nothing and does not collide."""
    return uuid.uuid4().hex


Id = Annotated[str, mapped_column(String(32), primary_key=True, default=new_id)]
"""Opaque: 32 hexadecimal digits that say nothing of a patient, fit for addresses and logs."""
Digest = Annotated[str, mapped_column(String(64))]
"""SHA-256, hexadecimal."""
Word = Annotated[str, mapped_column(String(32))]
"""One of a few values, or the name of a system."""
LONGEST_REASON: Final = 1024
Text = Annotated[str, mapped_column(String(LONGEST_REASON))]
"""A sentence, cut to its length before it is kept."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always with the zone UTC; SQLite, which has no zones, keeps it as UTC without saying so."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn a moment of any zone into UTC; one without a zone is a mistake."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the moment back with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of the tables; constraints have names, so that migrations can speak of them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime}  # noqa: RUF012 - the declarative base asks for this name and form


def as_row(row: Base) -> dict[str, Any]:
    """Return a row's columns by name."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
