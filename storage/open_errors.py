"""How many errors are open, by severity: one small query for who asks every second."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from models.error_event import Severity
from storage.error_table import ERROR_EVENTS


def unresolved_by_severity(connection: Connection) -> dict[Severity, int]:
    """Return the number of unresolved errors of each severity."""
    event = ERROR_EVENTS.c
    statement = select(event.severity, func.count()).where(event.resolved_at.is_(None))
    rows = connection.execute(statement.group_by(event.severity))
    found = {str(severity): int(count) for severity, count in rows}
    return {severity: found.get(severity, 0) for severity in Severity}
