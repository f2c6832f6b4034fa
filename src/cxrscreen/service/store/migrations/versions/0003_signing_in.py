"""Signing in: attempts that count against whoever tries again, and browsers on their way to the identity provider.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "sign_in_attempts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in_attempts"),
    )
    for name in ("account", "address", "at"):
        op.create_index(f"ix_sign_in_attempts_{name}", "sign_in_attempts", [name])
    op.create_table(
        "sign_ons",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("verifier", sa.String(length=128), nullable=False),
        sa.Column("return_to", sa.String(length=256), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sign_ons"),
    )
    op.create_index("ix_sign_ons_expires_at", "sign_ons", ["expires_at"])
    # The token against forged requests follows from the cookie; who was signed in signs in again.
    op.execute("DELETE FROM sessions")
    op.drop_column("sessions", "csrf_digest")


def downgrade() -> None:
    """Take the step back."""
    op.execute("DELETE FROM sessions")
    op.add_column("sessions", sa.Column("csrf_digest", sa.String(length=64), nullable=False, server_default=""))
    op.drop_table("sign_ons")
    op.drop_table("sign_in_attempts")
