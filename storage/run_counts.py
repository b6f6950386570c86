"""How many ended runs the history holds, by engine, kind and outcome."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, select

from storage.run_repository import RUNS


class RunCount(NamedTuple):
    """Runs that ended alike, and what they sent."""

    engine: str
    kind: str
    outcome: str
    runs: int
    bytes_sent: int


def ended_runs(connection: Connection) -> tuple[RunCount, ...]:
    """Return the counts of what is kept: not of runs that are forgotten."""
    alike = (RUNS.c.engine, RUNS.c.kind, RUNS.c.outcome)
    statement = (
        select(*alike, func.count(), func.sum(RUNS.c.bytes_sent))
        .where(RUNS.c.outcome.is_not(None))
        .group_by(*alike)
    )
    return tuple(RunCount(*row) for row in connection.execute(statement))
