"""The tables of who may do what, and of who did what."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    event,
    func,
    select,
)
from sqlalchemy.orm import Mapped, Mapper, mapped_column, relationship

from cxrscreen.service.store.chain import BEGINNING, LINKED, LOCK, digest_of
from cxrscreen.service.store.columns import Base, Digest, Id, Word


class User(Base):
    """An account."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("oidc_issuer", "oidc_subject"),)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(64), unique=True)
    display_name: Mapped[str | None] = mapped_column(String(128))
    role: Mapped[Word]
    password_hash: Mapped[str | None] = mapped_column(String(256))
    """Argon2; none where the person comes from an identity provider."""
    oidc_issuer: Mapped[str | None] = mapped_column(String(256))
    oidc_subject: Mapped[str | None] = mapped_column(String(256))
    created_at: Mapped[datetime]
    password_changed_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]


class Session(Base):
    """A person signed in in a browser; the cookie itself is not kept, only its digest."""

    __tablename__ = "sessions"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    user: Mapped[User] = relationship(lazy="joined")


class Token(Base):
    """A key for a program; the key itself is not kept, only its digest."""

    __tablename__ = "tokens"

    id: Mapped[Id]
    digest: Mapped[Digest] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[Word]
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SignInAttempt(Base):
    """A sign-in that did not succeed, or has not yet; kept as long as it counts against whoever tries again."""

    __tablename__ = "sign_in_attempts"

    id: Mapped[Id]
    account: Mapped[Digest] = mapped_column(index=True)
    """Of the name as it was given: what people type there by mistake is nobody's business."""
    address: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[datetime] = mapped_column(index=True)


class SignOn(Base):
    """A browser that was sent to the identity provider and is expected back."""

    __tablename__ = "sign_ons"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    """Of the cookie that the browser holds meanwhile."""
    state: Mapped[str] = mapped_column(String(64))
    nonce: Mapped[str] = mapped_column(String(64))
    verifier: Mapped[str] = mapped_column(String(128))
    return_to: Mapped[str] = mapped_column(String(256))
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AuditEvent(Base):
    """Who saw or did what, when; the database itself refuses to change or delete a row.

    Its number and its place in the chain are given when it is written; a transaction adds one event at a time.
    """

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "target_kind", "target_id"),)

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(128), index=True)
    actor_kind: Mapped[Word]
    action: Mapped[str] = mapped_column(String(64))
    target_kind: Mapped[Word | None]
    target_id: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[Word]
    request: Mapped[str | None] = mapped_column(String(32))
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    previous: Mapped[Digest]
    """Digest of the event before, see :mod:`cxrscreen.service.store.chain`."""
    digest: Mapped[Digest]


@event.listens_for(AuditEvent, "before_insert")
def _link(_mapper: Mapper[AuditEvent], connection: Connection, row: AuditEvent) -> None:
    """Give an event its number and its place in the chain."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    last = connection.execute(
        select(AuditEvent.number, AuditEvent.digest).order_by(AuditEvent.number.desc()).limit(1)
    ).first()
    row.number, row.previous = (1, BEGINNING) if last is None else (last.number + 1, last.digest)
    row.details = row.details or {}
    row.digest = digest_of({name: getattr(row, name) for name in LINKED}, row.previous)
