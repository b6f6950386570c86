"""The error log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
_OPEN = sa.text("resolved_at IS NULL")


def upgrade() -> None:
    """Make the table of error events."""
    op.create_table(
        "error_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("timestamp", sa.Text, nullable=False),
        sa.Column("last_seen", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("component", sa.Text, nullable=False),
        sa.Column("error_type", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("job_id", sa.Text),
        sa.Column("job_name", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("stack_trace", sa.Text),
        sa.Column("resolved_at", sa.Text),
        sqlite_autoincrement=True,
    )
    # Only one unresolved event of the same fault.
    op.create_index(
        "error_events_open", "error_events", ["fingerprint"], unique=True, sqlite_where=_OPEN
    )
    op.create_index("error_events_urgent", "error_events", ["severity", "id"], sqlite_where=_OPEN)
    op.create_index("error_events_of_job", "error_events", ["job_id", "id"])
    op.create_index("error_events_resolved", "error_events", ["resolved_at"])
