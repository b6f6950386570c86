"""What runs deleted at their sources: one row for each of them, and one for each such run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two tables."""
    op.create_table(
        "deleting_runs",
        sa.Column("run_id", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("job_id", "job_name", "source", "destination", "ended_at")
        ),
        sa.Column("trash_until", sa.Text),
        sa.Column("purged_at", sa.Text),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("deleted", "trashed", "kept", "restored", "cut_off", "unproven")
        ),
    )
    op.create_table(
        "deletions",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        # As it is on disk, where a name may be any bytes, and as it is shown.
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("size", sa.Integer),
        sa.Column("mtime_ns", sa.Integer),
        sa.Column("hash", sa.Text),
        sa.Column("reason", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("deletions_by_name", "deletions", ["run_id", "name"])
