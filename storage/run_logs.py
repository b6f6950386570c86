"""The logs of runs, read by lines in a thread: see storage/log_lines.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from storage import log_lines
from storage.log_lines import LineCount, LogPage, Wanted

MAX_LINES = 1_000
"""How many lines one call returns at most."""
MAX_LOOKED_THROUGH = 128 * 1024 * 1024
"""How many bytes of several logs one call reads, and the log in which that is reached."""


class LogEnds(NamedTuple):
    """The ends of several logs, by run, and at how many of those that were asked for it looked."""

    found: dict[str, LogPage]
    looked_at: int


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

    async def ends(
        self, wanted: Sequence[tuple[str, Wanted]], limit: int, *, most_found: int
    ) -> LogEnds:
        """Return the last wanted lines of several logs, of as many as have some; looks at no more
        when so many were found, or when MAX_LOOKED_THROUGH was read."""
        return await asyncio.to_thread(self._ends, wanted, min(limit, MAX_LINES), most_found)

    def parts(self, run_id: str, wanted: Wanted) -> Iterator[bytes]:
        """Yield the wanted lines of a whole log, in parts; blocks while it reads."""
        return log_lines.matching_parts(self._path_of(run_id), wanted)

    def _ends(self, wanted: Sequence[tuple[str, Wanted]], limit: int, most_found: int) -> LogEnds:
        found: dict[str, LogPage] = {}
        read = looked_at = 0
        for run_id, of_run in wanted:
            if len(found) >= most_found or read > MAX_LOOKED_THROUGH:
                break
            page = log_lines.lines_before(self._path_of(run_id), None, of_run, limit)
            looked_at += 1
            read += page.looked_through
            if page.lines:
                found[run_id] = page
        return LogEnds(found, looked_at)

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
