"""The tables of who may do what, and of who did what."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

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
    csrf_digest: Mapped[Digest]
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


class AuditEvent(Base):
    """Who saw or did what, when; the database itself refuses to change or delete a row."""

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
