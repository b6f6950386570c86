"""The error log in SQLite, behind a bounded queue that one task writes in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from models.error_event import Fault, kept_name
from models.error_query import ErrorFilter, KeptErrors
from models.errors import StorageFailed
from storage.batch_writer import BatchWriter
from storage.database import Database
from storage.error_reader import ErrorReader
from storage.error_table import (
    Entry,
    Report,
    Settlement,
    prune,
    resolve_event,
    resolve_events,
    write_batch,
)
from storage.kept_settlements import KeptSettlements
from utils.timestamps import utc_timestamp

_DAY_SECONDS = 24 * 60 * 60
_Key: TypeAlias = tuple[str | None, ...]


def _no_listener() -> None:
    """Nobody wants to know."""


def _no_failure_listener(_reason: str | None) -> None:
    """Nobody wants to know."""


def _no_counter(_fault: Fault) -> None:
    """Nobody counts."""


class ErrorRepository(ErrorReader):
    """The error log of a database. Make it on the event loop that reports to it.

    `on_change` is called on that loop after events were added, counted, resolved or forgotten,
    `on_report` with each fault at once.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_change: Callable[[], None] = _no_listener,
        on_report: Callable[[Fault], None] = _no_counter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(database, clock=clock)
        self.kept = KeptErrors()
        """How much is kept, from the next batch on."""
        self._on_change = on_change
        self._on_report = on_report
        self._mergeable: dict[_Key, Entry] = {}
        self.is_failing = False
        """Whether the database refused the last batch."""
        self.on_failing: Callable[[str | None], None] = _no_failure_listener
        """Called on the loop with the reason when the database refuses a batch, and with None when
        it takes one."""
        self.queue = BatchWriter[Entry](
            "error log",
            self._write,
            keeper=KeptSettlements(),
            on_take=self._mergeable.clear,
            on_crowded_out=self._crowded_out,
        )

    @property
    def dropped_count(self) -> int:
        """How many entries never reached the database since the start; the log has them."""
        return self.queue.dropped_count

    @property
    def waiting_count(self) -> int:
        """How many entries are not in the database yet."""
        return self.queue.waiting_count

    def report(self, fault: Fault) -> None:
        """Record a fault: at once, without waiting and without raising."""
        self._on_report(fault)
        same = self._mergeable.get(fault.identity)
        if isinstance(same, Report):
            same.add(fault, self._now())
            return
        # A settlement that is asked for after this must not be taken for the one before it.
        self._mergeable.pop((fault.error_type, fault.job_id), None)
        self._accept(fault.identity, Report(fault, self._now()))

    def settle(self, *, error_type: str, job_id: str | None) -> None:
        """Resolve every event of this type and job; as `report` does."""
        key = (kept_name(error_type), job_id and kept_name(job_id))
        if key in self._mergeable:
            return
        # What is reported after this must not be counted to what it resolves.
        self._mergeable.clear()
        self._accept(key, Settlement(*key, self._now()))

    async def resolve(self, event_id: str) -> None:
        """Take an event for done; again changes nothing.

        Raises ErrorEventNotFound, StorageFailed.
        """
        now = self._now()
        if await self._database.write(lambda connection: resolve_event(connection, event_id, now)):
            self._on_change()

    async def resolve_many(self, which: Collection[str] | ErrorFilter) -> int:
        """Take events for done, by their ids or all that match; returns how many of them were
        open. Raises StorageFailed."""
        now = self._now()
        count = await self._database.write(
            lambda connection: resolve_events(connection, which, now)
        )
        if count:
            self._on_change()
        return count

    async def forget_old(self) -> None:
        """Forget what is kept no longer. Raises StorageFailed."""
        if await self._database.write(self._prune):
            self._on_change()

    async def flush(self) -> None:
        """Return when everything reported so far is written, or was given up and logged. That
        takes as long as all attempts at two batches while the database refuses them."""
        await self.queue.flush()

    def try_again(self) -> None:
        """The database works again: what it refused is tried at once; returns at once."""
        if self.is_failing:
            self.queue.try_again()

    async def close(self) -> None:
        """Write what is waiting and take no more; may be called twice."""
        await self.queue.close()

    def _now(self) -> str:
        return utc_timestamp(self._clock())

    def _accept(self, key: _Key, entry: Entry) -> None:
        if self.queue.put(entry):
            self._mergeable[key] = entry

    def _crowded_out(self, entry: Entry) -> None:
        key = _key_of(entry)
        if self._mergeable.get(key) is entry:
            del self._mergeable[key]

    async def _write(self, batch: Sequence[Entry]) -> None:
        def work(connection: Connection) -> bool:
            if not write_batch(connection, batch):
                return False
            self._prune(connection)
            return True

        try:
            changed = await self._database.write(work)
        except StorageFailed as error:
            self.is_failing = True
            self.on_failing(str(error))
            raise
        self.is_failing = False
        self.on_failing(None)
        if changed:
            self._on_change()

    def _prune(self, connection: Connection) -> bool:
        kept = self.kept
        resolved_before = utc_timestamp(self._clock() - kept.resolved_days * _DAY_SECONDS)
        return prune(connection, resolved_before=resolved_before, max_rows=kept.count)


def _key_of(entry: Entry) -> _Key:
    """Return what an entry has in common with those that it can be merged with."""
    if isinstance(entry, Report):
        return entry.fault.identity
    return (entry.error_type, entry.job_id)
