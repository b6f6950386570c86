"""Which beginnings and ends of runs nobody was told of yet: noted in the transaction that keeps
them, so that a crash right behind it loses none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, delete, select
from sqlalchemy.dialects.sqlite import insert

from models.job_status import JobStatus
from models.run import Run

METADATA = MetaData()
UNTOLD_RUNS = Table(
    "untold_runs",
    METADATA,
    # Counts up: their order is that in which they came to pass.
    Column("place", Integer, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("step", Text, nullable=False),
    sqlite_autoincrement=True,
)
BEGUN, ENDED = "begun", "ended"
MAX_ROWS = 20_000
"""How many are remembered while nobody takes them; then the oldest go."""


class Untold(NamedTuple):
    """The beginning or the end of a run."""

    place: int
    run_id: str
    step: str


def note_step(connection: Connection, before: Run | None, run: Run) -> bool:
    """Note when a run begins or ends with what is kept now; returns whether it does."""
    step = None
    if run.is_over and not (before is not None and before.is_over):
        step = ENDED
    elif run.status is JobStatus.RUNNING and not (before is not None and _has_begun(before)):
        step = BEGUN
    if step is None:
        return False
    place = connection.execute(insert(UNTOLD_RUNS).values(run_id=run.id, step=step)).lastrowid
    connection.execute(delete(UNTOLD_RUNS).where(UNTOLD_RUNS.c.place <= (place or 0) - MAX_ROWS))
    return True


def untold(connection: Connection, limit: int, after: int = 0) -> tuple[Untold, ...]:
    """Return the oldest that nobody was told of, behind a place."""
    table = UNTOLD_RUNS.c
    statement = select(table.place, table.run_id, table.step).where(table.place > after)
    found = connection.execute(statement.order_by(table.place).limit(limit))
    return tuple(Untold(*row) for row in found)


def forget(connection: Connection, places: Iterable[int]) -> None:
    """Forget those of which it is settled who is told."""
    connection.execute(delete(UNTOLD_RUNS).where(UNTOLD_RUNS.c.place.in_(list(places))))


def _has_begun(run: Run) -> bool:
    return run.status is not JobStatus.QUEUED
