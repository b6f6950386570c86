"""Who did what: entries that nobody changes, and that nobody removes before their time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
_NEWEST = "(SELECT max(id) FROM audit_entries)"
_PROTECTED = f"""
    OLD.id = {_NEWEST}
    OR OLD.time > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')
    AND OLD.id > {_NEWEST} - 100000
"""


def upgrade() -> None:
    """Add the table, and what refuses to change it.

    An entry is removed only when it is older than thirty days or when a hundred thousand newer ones
    are there: how long entries are really kept is a setting that never says less. The newest stays
    in any case, and a new one has the id after it: ids have no gaps, and tell how many newer ones
    there are. INSERT OR REPLACE removes without asking the trigger of removals
    (sqlite.org/lang_conflict.html): an id that was given already is refused before that.
    """
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("role", sa.Text),
        sa.Column("way", sa.Text),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("job_id", "job_name", "run_id")),
        sa.Column("details", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_entries_in_time", "audit_entries", ["time"])
    for column in ("account", "action", "job_id"):
        op.create_index(f"audit_entries_by_{column}", "audit_entries", [column, "id"])
    op.execute(
        "CREATE TRIGGER audit_entries_stay_as_they_are BEFORE UPDATE ON audit_entries BEGIN"
        " SELECT RAISE(ABORT, 'an entry of the audit log is never changed'); END"
    )
    op.execute(
        f"CREATE TRIGGER audit_entries_stay BEFORE DELETE ON audit_entries WHEN {_PROTECTED} BEGIN"
        " SELECT RAISE(ABORT, 'an entry of the audit log is kept for thirty days'); END"
    )
    op.execute(
        "CREATE TRIGGER audit_entries_come_last BEFORE INSERT ON audit_entries"
        f" WHEN NEW.id > 0 AND NEW.id <= {_NEWEST} BEGIN"
        " SELECT RAISE(ABORT, 'an entry of the audit log comes after all others'); END"
    )
    op.execute(
        "CREATE TRIGGER audit_entries_leave_no_gap AFTER INSERT ON audit_entries"
        " WHEN NEW.id <> 1 + (SELECT max(id) FROM audit_entries WHERE id < NEW.id) BEGIN"
        " SELECT RAISE(ABORT, 'an entry of the audit log comes right after the newest'); END"
    )
