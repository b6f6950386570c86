"""The happenings: what came to pass in the background, the last ones, behind the bell.

They are read from the history of runs and the error log when the server starts, so that a restart
loses none, and added to as runs end and errors come. What stands here in memory is all of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from core.job_queries import JobQueries
from core.ports import ErrorLog
from fastapi_app.happening_views import (
    BellView,
    Happening,
    bell_view,
    happening_of_event,
    happening_of_run,
    mended,
    was_bad,
)
from fastapi_app.refreshing import redo_whenever
from fastapi_app.rendering import Renderer
from fastapi_app.websocket.hub import CardUpdate, Hub
from models.error_event import ErrorEvent
from models.errors import StorageFailed
from models.progress import RunOutcome
from models.run import Run
from models.run_spec import RunKind
from storage.job_faults import DAMAGED

BELL_KEY = "#bell"
"""Its place among the ids of jobs in the hub; no job can have such an id. live.js knows it."""
MAX_HAPPENINGS = 20
_RUNS_READ_AT_START = 200
_EARLIER_RUNS = 10
"""How far back is looked for what a job was before a good run."""
_MAX_WAITING = 1000
"""How many ended runs are remembered while the database does not answer."""


class Happenings:
    """Keeps the last happenings, and tells the hub when there is a new one.

    `events_changed` is set by whoever writes the error log; `run_over` is called with ended runs.
    """

    def __init__(
        self,
        error_log: ErrorLog,
        queries: JobQueries,
        *,
        renderer: Renderer,
        hub: Hub,
    ) -> None:
        self._error_log = error_log
        self._queries = queries
        self._renderer = renderer
        self._hub = hub
        self._ring: deque[Happening] = deque(maxlen=MAX_HAPPENINGS)
        self._open_events: frozenset[str] = frozenset()
        self._newest_event = 0
        self._ended: deque[Run] = deque(maxlen=_MAX_WAITING)
        self._has_new_events = False
        self._wake = asyncio.Event()

    def events_changed(self) -> None:
        """The error log has something new; returns at once."""
        self._has_new_events = True
        self._wake.set()

    def run_over(self, run: Run) -> None:
        """A run has ended; returns at once."""
        self._ended.append(run)
        self._wake.set()

    async def fill(self) -> None:
        """Read what happened before this start. Raises StorageFailed."""
        page = await self._queries.list_runs(limit=_RUNS_READ_AT_START)
        earlier: dict[str, list[Run]] = {}
        found: list[Happening] = []
        for run in reversed(page.items):
            before = earlier.setdefault(run.job_id, [])
            happening = happening_of_run(run, was_bad=was_bad(before))
            found += [happening] if happening is not None else []
            before.append(run)
        found += self._taken(await self._events())
        found.sort(key=lambda one: one.time)
        self._ring.extend(found)

    async def run(self) -> None:
        """Take in what is told, until cancelled."""
        await redo_whenever(self._wake, self._take, what="the bell is")

    def view(self) -> BellView:
        """Return what the bell shows now."""
        return bell_view(self._ring, self._queries.all_jobs(), self._renderer.url)

    def update(self) -> CardUpdate:
        """Return the state of the bell for the hub: all of it is structure."""
        return CardUpdate(structure=repr([one.key for one in self._ring]), values=None)

    def fragment(self) -> str:
        """Render what replaces the bell's list on every open page."""
        return self._renderer.fragment("_bell.html", bell=self.view(), oob=True)

    async def _take(self) -> None:
        while self._ended:
            run = self._ended[0]
            happening = happening_of_run(run, was_bad=await self._was_bad(run))
            if self._ended[0] is run:  # Or the oldest gave way to newer ones meanwhile.
                self._ended.popleft()
            self._add([happening] if happening is not None else [])
        if self._has_new_events:
            # Before it is read: what comes meanwhile is read after this.
            self._has_new_events = False
            try:
                events = await self._events()
            except StorageFailed:
                self._has_new_events = True
                raise
            self._add(self._taken(events))

    def _add(self, happenings: Sequence[Happening]) -> None:
        known = {one.key for one in self._ring}
        new = [one for one in happenings if one.key not in known]
        if new:
            self._ring.extend(new)
            self._hub.jobs_changed((BELL_KEY,))

    async def _was_bad(self, run: Run) -> bool:
        if run.kind != RunKind.TRANSFER or run.outcome is not RunOutcome.COMPLETED:
            return False  # Nothing is told of it in any case.
        runs = (await self._queries.recent_runs([run.job_id], _EARLIER_RUNS)).get(run.job_id, ())
        ids = [one.id for one in runs]
        return was_bad(runs[: ids.index(run.id)] if run.id in ids else runs)

    async def _events(self) -> tuple[ErrorEvent, ...]:
        page = await self._error_log.list_events(limit=MAX_HAPPENINGS)
        return tuple(sorted(page.items, key=lambda event: int(event.id)))

    def _taken(self, events: Sequence[ErrorEvent]) -> list[Happening]:
        """Return what is new among events, and which files are whole again."""
        found: list[Happening] = []
        for event in events:
            is_new = int(event.id) > self._newest_event
            if is_new:
                self._newest_event = int(event.id)
                happening = happening_of_event(event)
                found += [happening] if happening is not None else []
            is_news = is_new or event.id in self._open_events
            if event.resolved and is_news and self._is_mended(event):
                found.append(mended(event))
        self._open_events = frozenset(event.id for event in events if not event.resolved)
        return found

    def _is_mended(self, event: ErrorEvent) -> bool:
        """Whether the file is whole, and not merely what was told of it dismissed."""
        return event.error_type == DAMAGED and event.job_id in self._queries.all_jobs()
