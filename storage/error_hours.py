"""How often faults were met in each hour, by severity: counted with the event, and kept when that
is forgotten.

The same fault met again raises the count of its event: out of those alone no hour could be told.
Hours are those of UTC. What waited to be written counts for the hour of its last time.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from models.error_event import Severity
from models.error_query import TrendPoint

METADATA = MetaData()
ERROR_HOURS = Table(
    "error_hours",
    METADATA,
    Column("hour", Text, primary_key=True),
    Column("severity", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)
MAX_HOURS = 31 * 24
HOUR_LENGTH = len("2026-11-23T10")
DAY_LENGTH = len("2026-11-23")
_HOUR = ERROR_HOURS.c


def count_hours(connection: Connection, counts: Mapping[tuple[str, Severity], int]) -> None:
    """Add how often faults were met, by hour and severity."""
    if not counts:
        return
    for (hour, severity), count in counts.items():
        statement = insert(ERROR_HOURS).values(hour=hour, severity=severity, count=count)
        more = {"count": _HOUR.count + statement.excluded["count"]}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["hour", "severity"], set_=more)
        )
    # By number and not by age: a clock that was once set to the future must not empty the table.
    newest = select(_HOUR.hour).distinct().order_by(_HOUR.hour.desc()).limit(MAX_HOURS)
    connection.execute(delete(ERROR_HOURS).where(_HOUR.hour.not_in(newest)))


def trend(connection: Connection, since: str, length: int) -> tuple[TrendPoint, ...]:
    """Return the counts from a time on by as much of it as `length` says: HOUR_LENGTH or
    DAY_LENGTH. The oldest is first."""
    time = func.substr(_HOUR.hour, 1, length)
    statement = (
        select(time, _HOUR.severity, func.sum(_HOUR.count))
        .where(_HOUR.hour >= since[:length])
        .group_by(time, _HOUR.severity)
        .order_by(time, _HOUR.severity)
    )
    return tuple(
        TrendPoint(time, Severity(severity), count)
        for time, severity, count in connection.execute(statement)
    )
