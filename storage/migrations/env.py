"""Alembic's entry: runs the migrations on the connection that `storage/database.py` hands over."""

from __future__ import annotations

from alembic import context

from storage import error_table, run_days, run_repository

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[run_repository.METADATA, run_days.METADATA, error_table.METADATA],
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
