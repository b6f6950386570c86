"""A bounded queue that one task writes to the database in batches: whoever adds to it never waits
and never fails, and a storm of entries does not keep the disk busy with their record."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from models.errors import StorageFailed
from storage.dropped_entries import DroppedEntries

MAX_WAITING = 1_000
"""How many entries wait at most to be written; then the oldest makes room. Beside them are in
memory the batch that is tried, and what is kept of batches that were given up."""
PAUSE_SECONDS = 0.2
"""Between two batches."""
RETRY_SECONDS = (0.5, 2.0, 8.0, 30.0)
"""How long to wait before each further attempt at a batch; after the last one it is given up.
Nobody who waits for the log makes it shorter: a disk must have the time to come back."""
Entry = TypeVar("Entry")
_logger = logging.getLogger(__name__)


class Keeper(Protocol[Entry]):
    """Keeps some of the entries that would be dropped, to be written before any others."""

    def __len__(self) -> int: ...

    def all(self) -> Sequence[Entry]:
        """Return what is kept."""

    def keep(self, entries: Iterable[Entry]) -> Sequence[Entry]:
        """Keep what can be kept; returns the others."""

    def forget(self, written: Sequence[Entry]) -> None:
        """Keep those no longer."""


class _KeepsNothing(Generic[Entry]):
    def __len__(self) -> int:
        return 0

    def all(self) -> Sequence[Entry]:
        return ()

    def keep(self, entries: Iterable[Entry]) -> Sequence[Entry]:
        return tuple(entries)

    def forget(self, written: Sequence[Entry]) -> None:
        pass


def _nothing(*_about: Any) -> None:
    """Nobody wants to know."""


class BatchWriter(Generic[Entry]):
    """Writes what is put into it. Make it on the event loop that puts.

    `write` writes one batch and raises StorageFailed when it could not; it is tried again.
    `on_take` is told that all that waited is about to be written, `on_crowded_out` of the entry
    that made room, `on_loss` of the number of entries that will never be written.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[Entry]], Awaitable[None]],
        *,
        max_waiting: int = MAX_WAITING,
        keeper: Keeper[Entry] | None = None,
        on_take: Callable[[], None] = _nothing,
        on_crowded_out: Callable[[Entry], None] = _nothing,
        on_loss: Callable[[int], None] = _nothing,
    ) -> None:
        self._name = name
        self._write = write
        self.max_waiting = max_waiting
        self._kept: Keeper[Entry] = _KeepsNothing[Entry]() if keeper is None else keeper
        self._on_take = on_take
        self._on_crowded_out = on_crowded_out
        self._on_loss = on_loss
        self._waiting: deque[Entry] = deque()
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
        self._dropped = DroppedEntries[Entry](name)
        self._writer = asyncio.create_task(self._write_all(), name=name.replace(" ", "-"))

    @property
    def dropped_count(self) -> int:
        """How many entries never reached the database since the start; the service's log has
        them."""
        return self._dropped.count

    @property
    def waiting_count(self) -> int:
        """How many entries are not in the database yet."""
        return self._accepted - self._finished + len(self._kept)

    def put(self, entry: Entry) -> bool:
        """Have an entry written: at once, without waiting and without raising. Returns whether it
        is taken, as none is after the end."""
        if self._is_closing:
            self._dropped.refuse(entry, "it is closed")
            return False
        self._accepted += 1
        if len(self._waiting) >= self.max_waiting:
            self._make_room()
        self._waiting.append(entry)
        self._wake.set()
        return True

    async def flush(self) -> None:
        """Return when everything put so far is written, or was given up and logged. That takes as
        long as all attempts at two batches while the database refuses them."""
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

    def _make_room(self) -> None:
        oldest = self._waiting.popleft()
        self._on_crowded_out(oldest)
        self._finished += 1
        for entry in self._kept.keep((oldest,)):
            self._dropped.crowd_out(entry)
            self._on_loss(1)

    async def _write_all(self) -> None:
        while self._waiting or len(self._kept) or not self._is_closing:
            # What is kept is tried now and then, also when nothing new is put.
            await _wait_for(self._wake, RETRY_SECONDS[-1] if len(self._kept) else None)
            self._wake.clear()
            kept = tuple(self._kept.all())
            batch = tuple(self._waiting)
            self._waiting.clear()
            self._on_take()
            if kept or batch:
                await self._write_or_give_up(kept, batch)
                await _wait_for(self._hurry, PAUSE_SECONDS)

    async def _write_or_give_up(self, kept: tuple[Entry, ...], batch: tuple[Entry, ...]) -> None:
        """Write a batch behind what was kept of earlier ones."""
        try:
            await self._try((*kept, *batch))
            self._kept.forget(kept)
        except StorageFailed as error:
            dropped: Sequence[Entry] = self._kept.keep(batch)
            if self._is_closing:
                # Whoever settled these finds what is open when the dashboard starts again.
                left = self._kept.all()
                self._kept.forget(left)
                dropped = (*left, *dropped)
            self._give_up(dropped, str(error))
        except Exception as error:
            # The loop's boundary: a defect costs this batch and not the log, nor the next batch
            # should something that is kept be what it meets.
            _logger.exception("the %s failed at a batch", self._name)
            self._kept.forget(kept)
            self._give_up((*kept, *batch), repr(error))
        await self._dropped.tell()
        async with self._step_done:
            self._finished += len(batch)
            self._step_done.notify_all()

    def _give_up(self, entries: Sequence[Entry], reason: str) -> None:
        self._dropped.give_up(entries, reason)
        if entries:
            self._on_loss(len(entries))

    async def _try(self, batch: tuple[Entry, ...]) -> None:
        """Write a batch. Raises StorageFailed when the last attempt failed too."""
        self._retry.clear()
        for delay in RETRY_SECONDS:
            try:
                await self._write(batch)
            except StorageFailed as error:
                count = len(batch)
                _logger.warning("not yet in the %s: %d entries: %s", self._name, count, error)
                await self._dropped.tell()
                if self._is_closing:
                    raise
            else:
                return
            await _wait_for(self._retry, delay)
            self._retry.clear()
        await self._write(batch)


async def _wait_for(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, but no longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
