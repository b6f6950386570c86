"""When each job last had a success."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, with what is told by the runs that are kept."""
    op.create_table(
        "job_successes",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("ended_at", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO job_successes SELECT job_id, max(ended_at) FROM runs"
        " WHERE outcome IN ('completed', 'warning') AND kind = 'transfer'"
        " AND leaves_job IS NULL AND ended_at IS NOT NULL GROUP BY job_id"
    )
