"""The error log in SQLite, behind a bounded queue that one task writes in batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from models.error_event import Fault, kept_name
from models.error_query import ErrorFilter, KeptErrors
from models.errors import StorageFailed
from storage.database import Database
from storage.dropped_entries import DroppedEntries, Entry
from storage.error_reader import ErrorReader
from storage.error_table import (
    Report,
    Settlement,
    prune,
    resolve_event,
    resolve_events,
    write_batch,
)
from storage.kept_settlements import KeptSettlements
from utils.timestamps import utc_timestamp

MAX_WAITING = 1_000
"""How many entries wait at most to be written; then the oldest makes room. Beside them are in
memory the batch that is tried, and the settlements that are kept (kept_settlements.py)."""
PAUSE_SECONDS = 0.2
"""Between two batches: a storm of faults must not keep the disk busy with their record."""
RETRY_SECONDS = (0.5, 2.0, 8.0, 30.0)
"""How long to wait before each further attempt at a batch; after the last one its reports are given
up. Nobody who waits for the log makes it shorter: a disk must have the time to come back."""
_DAY_SECONDS = 24 * 60 * 60
_Key: TypeAlias = tuple[str | None, ...]
_logger = logging.getLogger(__name__)


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
        self._waiting: deque[tuple[_Key, Entry]] = deque()
        self._mergeable: dict[_Key, Entry] = {}
        self._accepted = 0
        self._finished = 0
        self._flushing = 0
        self._is_closing = False
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        """Set while somebody waits for the log: no pause is made then between two batches."""
        self._retry = asyncio.Event()
        """Set when there is a reason not to wait before the next attempt."""
        self._step_done = asyncio.Condition()
        self.is_failing = False
        """Whether the database refused the last batch."""
        self.on_failing: Callable[[str | None], None] = _no_failure_listener
        """Called on the loop with the reason when the database refuses a batch, and with None when
        it takes one."""
        self._dropped = DroppedEntries()
        self._settlements = KeptSettlements()
        self._writer = asyncio.create_task(self._write_all(), name="error-log")

    @property
    def dropped_count(self) -> int:
        """How many entries never reached the database since the start; the log has them."""
        return self._dropped.count

    @property
    def waiting_count(self) -> int:
        """How many entries are not in the database yet."""
        return self._accepted - self._finished + len(self._settlements)

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
        last = self._accepted
        self._flushing += 1
        self._hurry.set()
        try:
            async with self._step_done:
                await self._step_done.wait_for(lambda: self._finished >= last)
        finally:
            self._flushing -= 1
            if not self._flushing and not self._is_closing:
                self._hurry.clear()

    def try_again(self) -> None:
        """The database works again: what it refused is tried at once; returns at once."""
        if self.is_failing:
            self._retry.set()
            self._wake.set()

    async def close(self) -> None:
        """Write what is waiting and take no more; may be called twice."""
        self._is_closing = True
        self._hurry.set()
        self._retry.set()
        self._wake.set()
        await self._writer
        await self._dropped.tell()

    def _now(self) -> str:
        return utc_timestamp(self._clock())

    def _accept(self, key: _Key, entry: Entry) -> None:
        if self._is_closing:
            self._dropped.refuse(entry, "it is closed")
            return
        self._accepted += 1
        if len(self._waiting) >= MAX_WAITING:
            self._make_room()
        self._waiting.append((key, entry))
        self._mergeable[key] = entry
        self._wake.set()

    def _make_room(self) -> None:
        key, oldest = self._waiting.popleft()
        if self._mergeable.get(key) is oldest:
            del self._mergeable[key]
        self._finished += 1
        for entry in self._settlements.keep((oldest,)):
            self._dropped.crowd_out(entry)

    async def _write_all(self) -> None:
        while self._waiting or self._settlements or not self._is_closing:
            # What is kept is tried now and then, also when nothing new is reported.
            await _wait_for(self._wake, RETRY_SECONDS[-1] if self._settlements else None)
            self._wake.clear()
            settled = self._settlements.all()
            batch = tuple(entry for _, entry in self._waiting)
            self._waiting.clear()
            self._mergeable.clear()
            if settled or batch:
                await self._write_or_give_up(settled, batch)
                await _wait_for(self._hurry, PAUSE_SECONDS)

    async def _write_or_give_up(
        self, settled: tuple[Settlement, ...], batch: tuple[Entry, ...]
    ) -> None:
        """Write a batch behind what was kept of earlier ones."""
        try:
            if await self._write((*settled, *batch)):
                self._on_change()
            self._settlements.forget(settled)
        except StorageFailed as error:
            dropped: Sequence[Entry] = self._settlements.keep(batch)
            if self._is_closing:
                # Whoever settled these finds what is open when the dashboard starts again.
                left = self._settlements.all()
                self._settlements.forget(left)
                dropped = (*left, *dropped)
            self._dropped.give_up(dropped, str(error))
        except Exception as error:
            # The loop's boundary: a defect costs this batch and not the log, nor the next batch
            # should a settlement be what it meets.
            _logger.exception("the error log failed at a batch")
            self._settlements.forget(settled)
            self._dropped.give_up((*settled, *batch), repr(error))
        await self._dropped.tell()
        async with self._step_done:
            self._finished += len(batch)
            self._step_done.notify_all()

    async def _write(self, batch: tuple[Entry, ...]) -> bool:
        """Write a batch; returns whether it changed anything.

        Raises StorageFailed when the last attempt failed too.
        """
        self._retry.clear()
        for delay in RETRY_SECONDS:
            try:
                return await self._write_once(batch)
            except StorageFailed as error:
                _logger.warning("not yet in the error log: %d entries: %s", len(batch), error)
                await self._dropped.tell()
                if self._is_closing:
                    raise
            await _wait_for(self._retry, delay)
            self._retry.clear()
        return await self._write_once(batch)

    async def _write_once(self, batch: tuple[Entry, ...]) -> bool:
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
        return changed

    def _prune(self, connection: Connection) -> bool:
        kept = self.kept
        resolved_before = utc_timestamp(self._clock() - kept.resolved_days * _DAY_SECONDS)
        return prune(connection, resolved_before=resolved_before, max_rows=kept.count)


async def _wait_for(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, but no longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
