"""The outbox in SQLite: what is to be told, kept until it was. See storage/notification_table.py
for its states."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from storage import notification_table as table
from storage import untold_runs
from storage.database import Database
from storage.notification_table import Kept, Lane, Note
from storage.untold_runs import Untold

KEPT_SECONDS = 30 * 86_400.0
"""So long it is told what became of a message."""
MAX_ENDED = 5_000
MAX_WAITING = 10_000
MAX_PAGE = 200
MAX_DIGEST = 2_000
"""How many notifications become one message at most; further ones are another message."""


@dataclass(frozen=True)
class NotePage:
    """A page of the outbox, newest first."""

    items: tuple[Kept, ...]
    total: int
    next_cursor: str | None = None


class NotificationRepository:
    """The outbox of a database. Every method raises StorageFailed when that does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def untold(self, limit: int, after: int = 0) -> tuple[Untold, ...]:
        """Return the oldest beginnings and ends of runs that nobody was told of, behind a place."""
        return await self._database.read(
            lambda connection: untold_runs.untold(connection, limit, after)
        )

    async def error_mark(self) -> int:
        """Return the number of the newest event of the error log that was looked at."""
        return await self._database.read(
            lambda connection: table.mark_of(connection, table.ERROR_MARK)
        )

    async def add(
        self,
        notes: Sequence[Note],
        now: float,
        *,
        told: Sequence[Untold] = (),
        error_mark: int | None = None,
    ) -> int:
        """Keep what is to be told, and in the same transaction that it was looked at; returns how
        many had to be dropped for want of room."""

        def work(connection: Connection) -> int:
            table.add(connection, notes, now)
            untold_runs.forget(connection, [one.place for one in told])
            if error_mark is not None:
                table.set_mark(connection, table.ERROR_MARK, error_mark)
            return table.prune(
                connection,
                ended_before=now - KEPT_SECONDS,
                most_ended=MAX_ENDED,
                most_open=MAX_WAITING,
                now=now,
            )

        return await self._database.write(work)

    async def waiting_lanes(self) -> tuple[Lane, ...]:
        """Return what waits, by lane, the oldest first; not where something is being sent."""
        return await self._database.read(table.waiting_lanes)

    async def begin(self, lane: str, delivery: str, most: int) -> tuple[Kept, ...]:
        """Mark the oldest that wait in a lane as being sent; durable when this returns."""
        return await self._database.write(
            lambda connection: table.begin(connection, lane, delivery, most)
        )

    async def under_way(self, but: Collection[str] = ()) -> Mapping[str, list[Kept]]:
        """Return what is marked as being sent, by delivery; not in these lanes."""
        return await self._database.read(lambda connection: table.under_way(connection, but))

    async def sent(self, delivery: str, now: float) -> None:
        """Keep that a delivery arrived."""
        await self._database.write(lambda connection: table.sent(connection, delivery, now))

    async def failed(
        self, delivery: str, now: float, reason: str, *, due_at: float, too_old: float
    ) -> int:
        """Let a delivery wait until a time after an attempt that failed; what is from before
        another is given up. Returns how much that is."""
        return await self._database.write(
            lambda connection: table.failed(
                connection, delivery, now, reason, due_at=due_at, too_old=too_old
            )
        )

    async def postpone(self, delivery: str, due_at: float, reason: str) -> None:
        """Let a delivery that was not tried wait until a time."""
        await self._database.write(
            lambda connection: table.postpone(connection, delivery, due_at, reason)
        )

    async def move(self, lane: str, to: str, now: float) -> None:
        """Let what waits in a lane wait in another."""
        await self._database.write(lambda connection: table.move(connection, lane, to, now))

    async def waiting_count(self) -> int:
        """Return how much waits."""
        return await self._database.read(table.waiting_count)

    async def drop(self, lane: str, now: float, reason: str) -> int:
        """Take what waits in a lane out of it; returns how many."""
        return await self._database.write(
            lambda connection: table.drop(connection, lane, now, reason)
        )

    async def hurry(self, lane: str) -> None:
        """Have what waits in a lane tried at once."""
        await self._database.write(lambda connection: table.hurry(connection, lane))

    async def sent_since(self, lane: str, since: float) -> tuple[float, ...]:
        """Return when each delivery of a lane was sent, from a time on, the oldest first."""
        return await self._database.read(
            lambda connection: table.sent_since(connection, lane, since)
        )

    async def list_notes(
        self,
        *,
        lane: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> NotePage:
        """Return a page of the outbox, newest first; `limit` is at most 200."""
        limit = max(1, min(limit, MAX_PAGE))
        before = int(cursor) if cursor else None
        found, total = await self._database.read(
            lambda connection: table.page_of(
                connection, lane=lane, state=state, limit=limit + 1, before=before
            )
        )
        items = found[:limit]
        return NotePage(items, total, str(items[-1].id) if len(found) > limit else None)
