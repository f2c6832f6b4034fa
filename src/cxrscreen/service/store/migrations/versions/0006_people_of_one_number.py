"""Several people under one number, and images that name somebody else than their study.

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step; until now a number was one person, and images were not compared with their study."""
    with _changing_patients() as table:
        table.add_column(sa.Column("bearer", sa.Integer(), nullable=False, server_default="1"))
        table.drop_constraint("uq_patients_reference_issuer", type_="unique")
        table.create_unique_constraint("uq_patients_reference_issuer_bearer", ["reference", "issuer", "bearer"])
    op.create_table(
        "contradictions",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("patient_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_contradictions_image_id_images", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.id"], name="fk_contradictions_patient_id_patients", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name="pk_contradictions"),
    )
    op.create_index("ix_contradictions_patient_id", "contradictions", ["patient_id"])
    op.add_column("studies", sa.Column("patient_contradicted", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Take the step back; of several people under one number the first alone keeps a name."""
    op.drop_column("studies", "patient_contradicted")
    op.drop_table("contradictions")
    op.execute("DELETE FROM patients WHERE bearer > 1")
    with _changing_patients() as table:
        table.drop_constraint("uq_patients_reference_issuer_bearer", type_="unique")
        table.create_unique_constraint("uq_patients_reference_issuer", ["reference", "issuer"])
        table.drop_column("bearer")


@contextmanager
def _changing_patients() -> Iterator[BatchOperations]:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    if on_sqlite:
        # SQLite makes the table anew, and where the old one is dropped, what refers to its rows is set to nothing.
        op.execute("CREATE TEMPORARY TABLE kept AS SELECT id, patient_id FROM studies")
    with op.batch_alter_table("patients") as table:
        yield table
    if on_sqlite:
        op.execute("UPDATE studies SET patient_id = (SELECT patient_id FROM kept WHERE kept.id = studies.id)")
        op.execute("DROP TABLE kept")
