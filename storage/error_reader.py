"""The reading half of the error log in SQLite: none of it waits for what is written."""

from __future__ import annotations

import time
from collections.abc import Callable

from models.error_event import Component, ErrorEvent, ErrorPage, Severity
from models.error_query import ErrorFilter, ErrorGroup, ErrorJob, ErrorStatistics
from storage.database import Database
from storage.error_reading import (
    read_event,
    read_groups,
    read_jobs,
    read_page,
    read_statistics,
)

MAX_PAGE = 500


class ErrorReader:
    """Reads the error log of a database."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def list_events(
        self,
        *,
        severity: Severity | None = None,
        component: Component | None = None,
        job_id: str | None = None,
        resolved: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ErrorPage:
        """Return a page of the events, newest first; `limit` is at most 500.

        Raises StorageFailed.
        """
        wanted = ErrorFilter(severity, component, job_id, resolved=resolved)
        return await self.find(wanted, limit=limit, cursor=cursor)

    async def find(
        self, wanted: ErrorFilter, *, limit: int = 50, cursor: str | None = None
    ) -> ErrorPage:
        """Return a page of the events that match, newest first; `limit` is at most 500.

        Raises StorageFailed.
        """
        limit = max(1, min(limit, MAX_PAGE))
        events, total = await self._database.read(
            lambda connection: read_page(connection, wanted, limit=limit + 1, cursor=cursor)
        )
        items = events[:limit]
        return ErrorPage(items, total, items[-1].id if len(events) > limit else None)

    async def get(self, event_id: str) -> ErrorEvent:
        """Return one event. Raises ErrorEventNotFound, StorageFailed."""
        return await self._database.read(lambda connection: read_event(connection, event_id))

    async def groups(self, wanted: ErrorFilter, limit: int = 50) -> tuple[ErrorGroup, ...]:
        """Return the events that match by kind of fault, at most 500 of these. Raises
        StorageFailed."""
        limit = max(1, min(limit, MAX_PAGE))
        return await self._database.read(lambda connection: read_groups(connection, wanted, limit))

    async def jobs(self, limit: int = 50) -> tuple[ErrorJob, ...]:
        """Return the jobs that events are about, at most 500. Raises StorageFailed."""
        limit = max(1, min(limit, MAX_PAGE))
        return await self._database.read(lambda connection: read_jobs(connection, limit))

    async def statistics(self) -> ErrorStatistics:
        """Return the figures of the log as they are now. Raises StorageFailed."""
        now = self._clock()
        return await self._database.read(lambda connection: read_statistics(connection, now))
