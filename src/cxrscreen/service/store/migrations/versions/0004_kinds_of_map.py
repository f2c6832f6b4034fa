"""Kinds of map: masks, maps that explain, and maps that only say where a system looked.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step; until now every stored map but the lungs explained."""
    op.add_column("maps", sa.Column("kind", sa.String(length=32), nullable=False, server_default="saliency"))
    op.execute("UPDATE maps SET kind = 'mask' WHERE name = 'lungs'")
    with op.batch_alter_table("maps") as table:
        table.alter_column("kind", server_default=None)


def downgrade() -> None:
    """Take the step back."""
    op.execute("DELETE FROM maps WHERE kind = 'looked_at'")
    op.drop_column("maps", "kind")
