"""The chain through the audit log.

Revision ID: 0002
Revises: 0001
"""

from datetime import UTC

import sqlalchemy as sa
from alembic import op

from cxrscreen.service.store.chain import BEGINNING, LINKED, digest_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_EVENTS = sa.table(
    "audit_events",
    sa.column("number", sa.BigInteger()),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("actor", sa.String()),
    sa.column("actor_kind", sa.String()),
    sa.column("action", sa.String()),
    sa.column("target_kind", sa.String()),
    sa.column("target_id", sa.String()),
    sa.column("outcome", sa.String()),
    sa.column("request", sa.String()),
    sa.column("details", sa.JSON()),
    sa.column("previous", sa.String()),
    sa.column("digest", sa.String()),
)


def upgrade() -> None:
    """Apply the step; events that are there already are chained in their order."""
    for name in ("previous", "digest"):
        op.add_column("audit_events", sa.Column(name, sa.String(length=64), nullable=False, server_default=""))
    _allow_change()
    connection = op.get_bind()
    head = BEGINNING
    for position, row in enumerate(connection.execute(sa.select(_EVENTS).order_by(_EVENTS.c.number)).all(), start=1):
        at = row.at.replace(tzinfo=UTC) if row.at.tzinfo is None else row.at
        event = {name: getattr(row, name) for name in LINKED} | {"number": position, "at": at}
        digest = digest_of(event, head)
        connection.execute(
            sa.update(_EVENTS)
            .where(_EVENTS.c.number == row.number)
            .values(number=position, previous=head, digest=digest)
        )
        head = digest
    _refuse_change()


def downgrade() -> None:
    """Take the step back."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_events_no_replace")
    for name in ("digest", "previous"):
        op.drop_column("audit_events", name)


def _allow_change() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
        return
    for change in ("update", "delete"):
        op.execute(f"DROP TRIGGER audit_events_no_{change}")


def _refuse_change() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only")
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_events_no_{change.lower()} BEFORE {change} ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'rows of audit_events are not changed or deleted'); END"
        )
    # A row that takes another's number would replace it without UPDATE or DELETE.
    op.execute(
        "CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events "
        "WHEN EXISTS (SELECT 1 FROM audit_events WHERE number = NEW.number) "
        "BEGIN SELECT RAISE(ABORT, 'rows of audit_events are not changed or deleted'); END"
    )
