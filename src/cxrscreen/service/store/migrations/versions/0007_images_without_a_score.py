"""How many images of a study the system that orders the worklist gave no score for.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Of a system that orders the worklist, the latest word on an image.
_LATEST = """
    SELECT 1 FROM results JOIN jobs ON jobs.id = results.job_id
    WHERE jobs.image_id = {image} AND jobs.orders_worklist AND {said}
    AND NOT EXISTS (
        SELECT 1 FROM results AS later JOIN jobs AS again ON again.id = later.job_id
        WHERE again.image_id = {image} AND again.orders_worklist AND again.round > jobs.round
    )
"""
_SCORED = "results.triage_score IS NOT NULL"
_LATERAL = """results.status = 'refused' AND CAST(results.record AS TEXT) LIKE '%"code": "lateral"%'"""
_COUNT = f"""
UPDATE studies SET unscreened = (
    SELECT count(*) FROM images
    WHERE images.study_id = studies.id
    AND NOT EXISTS (
        SELECT 1 FROM jobs
        WHERE jobs.image_id = images.id AND jobs.orders_worklist AND jobs.state IN ('waiting', 'leased')
    )
    AND NOT EXISTS ({_LATEST.format(image="images.id", said=_SCORED)})
    AND NOT (
        EXISTS ({_LATEST.format(image="images.id", said=_LATERAL)})
        AND EXISTS (
            SELECT 1 FROM images AS others WHERE others.study_id = studies.id
            AND EXISTS ({_LATEST.format(image="others.id", said=_SCORED)})
        )
    )
)
"""


def upgrade() -> None:
    """Apply the step; studies that are there are counted as a change of theirs would count them."""
    op.add_column("studies", sa.Column("unscreened", sa.Integer(), nullable=False, server_default="0"))
    op.execute(_COUNT)


def downgrade() -> None:
    """Take the step back."""
    op.drop_column("studies", "unscreened")
