"""How many events of the error log are unresolved, by severity and component."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from storage.error_table import ERROR_EVENTS


def unresolved(connection: Connection) -> Mapping[tuple[str, str], int]:
    """Return the counts; what has none is not in it."""
    kinds = (ERROR_EVENTS.c.severity, ERROR_EVENTS.c.component)
    statement = (
        select(*kinds, func.count()).where(ERROR_EVENTS.c.resolved_at.is_(None)).group_by(*kinds)
    )
    return {(severity, part): count for severity, part, count in connection.execute(statement)}
