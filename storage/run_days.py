"""What ended on each day, by outcome: counted when a run ends, and kept when the run is forgotten.

A job that runs every ten minutes keeps the runs of some hours: out of those alone no day could be
told. Days are those of UTC.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, delete, select
from sqlalchemy.dialects.sqlite import insert

from models.progress import RunOutcome
from models.run import DayTotal, Run
from models.run_spec import RunKind

METADATA = MetaData()
RUN_DAYS = Table(
    "run_days",
    METADATA,
    Column("day", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("runs", Integer, nullable=False),
    Column("bytes_sent", Integer, nullable=False),
    sqlite_with_rowid=False,
)
MAX_DAYS = 400
_DAY_LENGTH = len("2026-11-23")


def total_of(run: Run) -> DayTotal | None:
    """Return what a run adds to its day; None for one that goes on, and for a dry run."""
    if run.outcome is None or run.ended_at is None or run.kind != RunKind.TRANSFER:
        return None
    return DayTotal(run.ended_at[:_DAY_LENGTH], run.outcome, 1, run.bytes_sent)


def count_end(connection: Connection, before: Run | None, run: Run) -> None:
    """Count how a run ended in place of how it had ended before, if it had."""
    was, now = total_of(before) if before is not None else None, total_of(run)
    if was == now:
        return
    if was is not None:
        _add(connection, DayTotal(was.day, was.outcome, -was.runs, -was.bytes_sent))
    if now is not None:
        _add(connection, now)


def totals_since(connection: Connection, day: str) -> tuple[DayTotal, ...]:
    """Return the totals from a day on, the oldest first."""
    statement = select(RUN_DAYS).where(RUN_DAYS.c.day >= day, RUN_DAYS.c.runs > 0)
    rows = connection.execute(statement.order_by(RUN_DAYS.c.day, RUN_DAYS.c.outcome))
    return tuple(
        DayTotal(row.day, RunOutcome(row.outcome), row.runs, row.bytes_sent) for row in rows
    )


def _add(connection: Connection, total: DayTotal) -> None:
    values = {"runs": total.runs, "bytes_sent": total.bytes_sent}
    statement = insert(RUN_DAYS).values(day=total.day, outcome=total.outcome, **values)
    more = {name: RUN_DAYS.c[name] + statement.excluded[name] for name in values}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["day", "outcome"], set_=more)
    )
    # By number and not by age: a clock that was once set to the future must not empty the table.
    newest = select(RUN_DAYS.c.day).distinct().order_by(RUN_DAYS.c.day.desc()).limit(MAX_DAYS)
    connection.execute(delete(RUN_DAYS).where(RUN_DAYS.c.day.not_in(newest)))
