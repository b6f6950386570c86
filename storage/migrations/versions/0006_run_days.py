"""What ended on each day, by outcome."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, with what is told by the runs that are kept."""
    op.create_table(
        "run_days",
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("bytes_sent", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO run_days SELECT substr(ended_at, 1, 10), outcome, count(*), sum(bytes_sent)"
        " FROM runs WHERE outcome IS NOT NULL AND ended_at IS NOT NULL AND kind = 'transfer'"
        " GROUP BY 1, 2"
    )
