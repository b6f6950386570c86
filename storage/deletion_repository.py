"""What runs deleted at their sources, in SQLite: kept longer than the runs themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from models.deleted_sources import DeletingRun, DeletionPage
from models.errors import FileFailed
from models.source_deletions import Deletion
from storage import deletion_table as table
from storage.database import Database
from storage.deletion_records import Told, has_record, read_record, runs_with_record
from utils.timestamps import utc_timestamp

KEPT_DAYS = 400
"""So long it is told what became of a source, whatever is kept of the run."""
MAX_ROWS = 2_000_000
"""Beyond so many deleted sources the oldest runs are forgotten: about 1 GB."""
MAX_PAGE = 500
_PART = 1_000


class DeletionRepository:
    """The records of runs that deleted their sources."""

    def __init__(self, database: Database, data_dir: Path) -> None:
        self._database = database
        self._runs = data_dir / "runs"

    async def take(self, run: DeletingRun) -> None:
        """Take the record that a run has left in its directory, if it left one; again changes
        nothing. Raises StorageFailed."""
        directory = self._runs / run.run_id
        try:
            if not await asyncio.to_thread(has_record, directory):
                return
            if await self.run(run.run_id) is not None:
                return
            parts = read_record(directory)
            while (told := await asyncio.to_thread(_next_of, parts)) is not None:
                part = told
                # By itself, so that other writers come in between.
                await self._database.write(
                    lambda connection, part=part: table.write_part(  # type: ignore[misc]
                        connection, run.run_id, part
                    )
                )
        except OSError as error:
            raise FileFailed("Reading the record of deletions", error) from error
        # Last: it says that all the rest is there.
        await self._database.write(lambda connection: table.write_run(connection, run))

    async def untaken(self) -> tuple[str, ...]:
        """Return the runs that have left a record that was not taken yet. Raises StorageFailed."""
        try:
            left = await asyncio.to_thread(runs_with_record, self._runs)
        except OSError as error:
            raise FileFailed("Looking for records of deletions", error) from error
        taken = await self._database.read(table.run_ids)
        return tuple(run_id for run_id in left if run_id not in taken)

    async def run(self, run_id: str) -> DeletingRun | None:
        """Return what is known of a run that deleted, or None. Raises StorageFailed."""
        return await self._database.read(lambda connection: table.run_of(connection, run_id))

    async def list_deletions(
        self,
        run_id: str,
        *,
        q: str = "",
        outcome: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeletionPage:
        """Return a page of what a run deleted, with a text in the path or the reason, without
        regard to the case of ASCII. `limit` is at most 500. Raises StorageFailed."""
        limit = max(1, min(limit, MAX_PAGE))
        after = int(cursor) if cursor else 0
        return await self._database.read(
            lambda connection: table.page_of(
                connection, run_id, q=q, outcome=outcome, limit=limit, after=after
            )
        )

    async def note_put_back(
        self,
        run_id: str,
        results: Sequence[tuple[bytes, str | None]],
        *,
        now: str,
        is_all: bool,
    ) -> None:
        """Keep what came of putting files back: by name the reason why one stays in the trash
        folder, None where it is back. The last ones settle the counts. Raises StorageFailed."""
        await self._database.write(
            lambda connection: table.note_put_back(
                connection, run_id, results, now=now, is_all=is_all
            )
        )

    async def in_trash(self, run_id: str, *, after: int) -> tuple[Deletion, ...]:
        """Return the next of what lies in a run's trash folder, or may, by what was noted, from
        behind a number on; names as on disk. Raises StorageFailed."""
        return await self._database.read(
            lambda connection: table.in_trash(connection, run_id, after=after, limit=_PART)
        )

    async def trash_due(self, now: str) -> tuple[DeletingRun, ...]:
        """Return the runs whose trash folders are to be emptied by now. Raises StorageFailed."""
        return await self._database.read(lambda connection: table.trash_due(connection, now=now))

    async def note_purged(self, run_id: str, *, now: str) -> None:
        """Keep that the trash folder of a run was emptied. Raises StorageFailed."""
        await self._database.write(
            lambda connection: table.note_purged(connection, run_id, now=now)
        )

    async def prune(self, now: str) -> int:
        """Forget what is too old or too much; returns how many runs went. Raises StorageFailed."""
        oldest = datetime.fromisoformat(now) - timedelta(days=KEPT_DAYS)
        ended_before = utc_timestamp(oldest.timestamp())
        return await self._database.write(
            lambda connection: table.prune(
                connection, ended_before=ended_before, most_rows=MAX_ROWS
            )
        )


def _next_of(parts: Iterator[Told]) -> Told | None:
    return next(parts, None)
