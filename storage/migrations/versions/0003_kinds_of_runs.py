"""What dry runs, special files and source deletion add to a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; every earlier run was a transfer that deleted no sources."""
    for column in (
        sa.Column("kind", sa.Text, nullable=False, server_default="transfer"),
        sa.Column("files_special", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sources_deleted", sa.Integer, nullable=False, server_default="0"),
        sa.Column("notices", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("preview", sa.JSON),
        sa.Column("only_failed_of", sa.Text),
        sa.Column("only_files", sa.Integer),
        sa.Column("leaves_job", sa.Text),
    ):
        op.add_column("runs", column)
