"""The audit log in SQLite, behind a bounded queue that one task writes in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from models.audit import MAX_ENTRIES, Action, AuditFilter, AuditPage, NewAuditEntry
from storage.audit_table import (
    add,
    count_since,
    cut_short_at,
    forget,
    read_accounts,
    read_page,
)
from storage.batch_writer import BatchWriter
from storage.database import Database
from utils.timestamps import utc_timestamp

MAX_PAGE = 500
MAX_WAITING = 5_000
"""More than one request can make: a command on many jobs makes an entry for each."""
DEFAULT_DAYS = 365.0
_DAY_SECONDS = 24 * 60 * 60


class AuditRepository:
    """The audit log of a database. Make it on the event loop that adds to it."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self.kept_days = DEFAULT_DAYS
        self.max_entries = MAX_ENTRIES
        self.queue = BatchWriter[NewAuditEntry](
            "audit log", self._write, max_waiting=MAX_WAITING, on_loss=self._lost
        )
        self.on_loss: Callable[[int], None] = lambda _count: None
        """Called on the loop with the number of entries that will never be in the log."""
        self.on_early: Callable[[bool], None] = lambda _is_so: None
        """Called on the loop with whether entries were forgotten before their time, each time that
        they were and when they are no more."""

    def add(self, entry: NewAuditEntry) -> None:
        """Have an entry kept: at once, without waiting and without raising. It is in the database
        within a second, unless that does not take it."""
        self.queue.put(entry)

    async def find(
        self, wanted: AuditFilter, *, limit: int = 50, cursor: str | None = None
    ) -> AuditPage:
        """Return a page of the entries that match, newest first; `limit` is at most 500.

        Raises StorageFailed.
        """
        limit = max(1, min(limit, MAX_PAGE))
        entries, total = await self._database.read(
            lambda connection: read_page(connection, wanted, limit=limit + 1, cursor=cursor)
        )
        items = entries[:limit]
        return AuditPage(items, total, items[-1].id if len(entries) > limit else None)

    async def accounts(self, limit: int = 200) -> tuple[str, ...]:
        """Return the names in the log. Raises StorageFailed."""
        return await self._database.read(lambda connection: read_accounts(connection, limit))

    async def forget_old(self) -> None:
        """Forget what is kept no longer. Raises StorageFailed."""
        gone = 0
        while some := await self._database.write(self._forget):
            gone += some
        is_short = await self.cut_short_at() is not None
        if gone or not is_short:
            self.on_early(is_short)

    async def cut_short_at(self) -> str | None:
        """Return how far back the log goes, where that is less than the time for which entries are
        kept, as there are too many; else None. Raises StorageFailed."""
        before = self._before()
        return await self._database.read(
            lambda connection: cut_short_at(connection, before=before, max_entries=self.max_entries)
        )

    async def count_since(self, action: Action, since: str) -> int:
        """Return how many entries of an action there are from a time on. Raises StorageFailed."""
        return await self._database.read(lambda connection: count_since(connection, action, since))

    async def flush(self) -> None:
        """Return when all that was added so far is written, or was given up and logged."""
        await self.queue.flush()

    def try_again(self) -> None:
        """The database works again: what it refused is tried at once; returns at once."""
        self.queue.try_again()

    async def close(self) -> None:
        """Write what is waiting and take no more; may be called twice."""
        await self.queue.close()

    def _lost(self, count: int) -> None:
        self.on_loss(count)

    async def _write(self, batch: Sequence[NewAuditEntry]) -> None:
        await self._database.write(lambda connection: add(connection, batch))

    def _forget(self, connection: Connection) -> int:
        return forget(connection, before=self._before(), max_entries=self.max_entries)

    def _before(self) -> str:
        return utc_timestamp(self._clock() - self.kept_days * _DAY_SECONDS)
