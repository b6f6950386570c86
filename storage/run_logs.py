"""The logs of runs, read by lines in a thread: see storage/log_lines.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from storage import log_lines
from storage.log_lines import LineCount, LogPage, Wanted

MAX_LINES = 1_000
"""How many lines one call returns at most."""


class RunLogs:
    """The logs in the directories of runs; one that is not there is empty."""

    def __init__(self, path_of: Callable[[str], Path]) -> None:
        self._path_of = path_of

    async def from_place(self, run_id: str, place: int, wanted: Wanted, limit: int) -> LogPage:
        """Return the next wanted lines from a place on."""
        return await self._page(log_lines.lines_from, run_id, place, wanted, limit)

    async def behind(self, run_id: str, place: int, wanted: Wanted, limit: int) -> LogPage:
        """Return the next wanted lines behind the one that begins at a place."""
        return await self._page(log_lines.lines_behind, run_id, place, wanted, limit)

    async def before(self, run_id: str, place: int | None, wanted: Wanted, limit: int) -> LogPage:
        """Return the last wanted lines before a place, or before the end."""
        return await self._page(log_lines.lines_before, run_id, place, wanted, limit)

    async def since(
        self, run_id: str, place: int, wanted: Wanted, limit: int, *, only_whole: bool
    ) -> LogPage:
        """Return what was written since a place, or the newest of it; with `only_whole` without a
        last line that has no end yet."""
        path, limit = self._path_of(run_id), min(limit, MAX_LINES)
        return await asyncio.to_thread(
            log_lines.lines_since, path, place, wanted, limit, only_whole=only_whole
        )

    async def count(self, run_id: str, wanted: Wanted, *, before: int = 0) -> LineCount:
        """Count the wanted lines; with those before a place."""
        path = self._path_of(run_id)
        return await asyncio.to_thread(log_lines.count_lines, path, wanted, before=before)

    def parts(self, run_id: str, wanted: Wanted) -> Iterator[bytes]:
        """Yield the wanted lines of a whole log, in parts; blocks while it reads."""
        return log_lines.matching_parts(self._path_of(run_id), wanted)

    async def _page(
        self,
        read: Callable[..., LogPage],
        run_id: str,
        place: int | None,
        wanted: Wanted,
        limit: int,
    ) -> LogPage:
        path = self._path_of(run_id)
        return await asyncio.to_thread(read, path, place, wanted, min(limit, MAX_LINES))
