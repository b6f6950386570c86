"""What is to be told to whom, and which runs and errors were looked at for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the outbox; of what is in the error log already nobody is told."""
    op.create_table(
        "untold_runs",
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Integer, primary_key=True),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("lane", "event_key", "target", "occasion", "title", "body")
        ),
        sa.Column("job_id", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("delivery", sa.Text),
        sa.Column("ended_at", sa.Float),
        sa.Column("reason", sa.Text),
        sa.UniqueConstraint("lane", "event_key", name="one_of_each"),
        sqlite_autoincrement=True,
    )
    op.create_index("notifications_by_state", "notifications", ["state", "lane"])
    op.create_table(
        "notification_marks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO notification_marks"
        " SELECT 'error_events', coalesce(max(id), 0) FROM error_events"
    )
