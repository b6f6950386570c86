"""How often faults were met in each hour, and what finds events by their kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, with what is told by the events that are kept, and the indexes."""
    op.create_table(
        "error_hours",
        sa.Column("hour", sa.Text, primary_key=True),
        sa.Column("severity", sa.Text, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO error_hours SELECT substr(last_seen, 1, 13), severity, sum(count)"
        " FROM error_events GROUP BY 1, 2"
    )
    # With what tells the unresolved ones, in place of an index of these alone.
    op.drop_index("error_events_urgent", "error_events")
    op.create_index("error_events_of_severity", "error_events", ["severity", "id", "resolved_at"])
    op.create_index("error_events_of_component", "error_events", ["component", "id"])
    op.create_index("error_events_of_type", "error_events", ["error_type", "id"])
    # What is settled when its cause is gone.
    op.create_index(
        "error_events_unsettled",
        "error_events",
        ["error_type", "job_id"],
        sqlite_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index("error_events_seen", "error_events", ["last_seen"])
    # All that is counted, so that no long stack trace is passed on the way to it.
    op.create_index(
        "error_events_counts",
        "error_events",
        [
            "component",
            "error_type",
            "severity",
            "resolved_at",
            "timestamp",
            "last_seen",
            "count",
        ],
    )
