"""How many errors are unresolved, beside the entry of their page in the navigation.

Each change of the error log is pushed: a new count to every page, and to those that list errors
also that one was met again, so that they fetch their lists anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from core.ports import ErrorLog
from fastapi_app import formatting
from fastapi_app.refreshing import redo_whenever
from fastapi_app.rendering import Renderer
from fastapi_app.websocket.hub import CardUpdate, Hub

ERRORS_KEY = "#errors"
"""Its place among the ids of jobs in the hub; no job can have such an id. live.js knows it."""
_PAUSE_SECONDS = 0.3
"""Between two pushes: every page that is open fetches something after each."""
_LONGEST_PAUSE_SECONDS = 4.0
_GROWTH = 1.5
"""In a storm of faults the pauses grow: pages that are always fetched anew would keep it going."""
_MOST = 99


@dataclass(frozen=True)
class ErrorCountView:
    """How many errors are unresolved: at a glance, and in full."""

    count: int
    short: str
    exact: str


class ErrorCount:
    """Keeps how many errors are unresolved, and tells the hub of each change of the log."""

    def __init__(self, error_log: ErrorLog, *, renderer: Renderer, hub: Hub) -> None:
        self._error_log = error_log
        self._renderer = renderer
        self._hub = hub
        self._changed = asyncio.Event()
        self._changed.set()  # What there is at the start is counted first.
        self._unresolved = 0
        self._newest: str | None = None
        self._changes = 0

    def events_changed(self) -> None:
        """The error log has changed; returns at once."""
        self._changed.set()

    async def run(self) -> None:
        """Count anew whenever the error log changed, until cancelled."""
        pause = _PAUSE_SECONDS

        async def refresh_and_pause() -> None:
            nonlocal pause
            await self.refresh()
            await asyncio.sleep(pause)
            grown = min(pause * _GROWTH, _LONGEST_PAUSE_SECONDS)
            pause = grown if self._changed.is_set() else _PAUSE_SECONDS

        await redo_whenever(self._changed, refresh_and_pause, what="the count of errors is")

    async def refresh(self) -> None:
        """Count and show it. Raises StorageFailed."""
        page = await self._error_log.list_events(resolved=False, limit=1)
        self._unresolved = page.total
        self._newest = page.items[0].id if page.items else None
        self._changes += 1
        self._hub.jobs_changed((ERRORS_KEY,))

    def view(self) -> ErrorCountView:
        """Return what is shown now."""
        count = self._unresolved
        short = f"{_MOST}+" if count > _MOST else str(count)
        return ErrorCountView(count, short, formatting.count(count))

    def update(self) -> CardUpdate:
        """Return its state for the hub: that an error was met again is no structure."""
        structure = repr((self._unresolved, self._newest))
        return CardUpdate(structure, values={"changes": self._changes})

    def fragment(self) -> str:
        """Render what replaces it on every open page."""
        return self._renderer.fragment("_error_count.html", error_count=self.view(), oob=True)
