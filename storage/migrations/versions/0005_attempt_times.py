"""When the attempts of a run began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of earlier runs it is not known."""
    op.add_column("runs", sa.Column("attempt_times", sa.JSON, nullable=False, server_default="[]"))
