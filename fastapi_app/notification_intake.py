"""The intake of notifications: what happened since the last look becomes notes in the outbox.

Runs were noted in the transaction that keeps their beginnings and ends, and the error log is read
from a mark on, so that nothing is missed while the dashboard is away, and nothing taken twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from core.job_queries import JobQueries
from core.ports import ErrorLog
from fastapi_app.happening_views import was_bad
from fastapi_app.notification_events import (
    happened_of_error,
    happened_of_run,
    notes_for,
    ping_of,
)
from models.errors import RunNotFound
from models.job import Job
from models.notifications import NotificationRule
from models.run import Run
from storage.notification_repository import NotificationRepository
from storage.notification_table import Note
from storage.untold_runs import BEGUN, Untold

_EARLIER_RUNS = 10
"""How far back is looked for what a job was before a good run."""
_AT_A_TIME = 100
_PAGE = 50
_MAX_BEGUN = 1_000


class Intake:
    """Takes what happened into an outbox. Every method raises StorageFailed."""

    def __init__(
        self,
        outbox: NotificationRepository,
        error_log: ErrorLog,
        queries: JobQueries,
        clock: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._error_log = error_log
        self._queries = queries
        self._clock = clock
        self._begun: dict[str, Run] = {}
        self._has_new_errors = True
        self._pinged = 0

    def run_begun(self, run: Run) -> None:
        """A run that waited for its turn has begun: that is in memory alone."""
        self._begun[run.id] = run
        if len(self._begun) > _MAX_BEGUN:
            del self._begun[next(iter(self._begun))]

    def errors_changed(self) -> None:
        """The error log has something new."""
        self._has_new_errors = True

    async def take(self, rules: Sequence[NotificationRule]) -> int:
        """Take in what is new; returns how much waiting had to be dropped for want of room."""
        dropped = await self._take_runs(rules)
        if self._has_new_errors:
            # Before it is read: what comes meanwhile is read after this.
            self._has_new_errors = False
            try:
                dropped += await self._take_errors(rules)
            except BaseException:
                self._has_new_errors = True
                raise
        return dropped

    async def take_pings(self) -> int:
        """Take in pings alone, while nobody can tell which rules there are: what they may tell of
        stays untold. Returns as `take` does."""
        # Before what is untold is read: whatever ended before one of these began is there then.
        begun = tuple(self._begun)
        dropped = 0
        while untold := await self._outbox.untold(_AT_A_TIME, after=self._pinged):
            done = [one for one in untold if one.step == BEGUN]
            dropped += await self._add(await self._notes_of(untold, ()), told=done)
            self._forget_begun(untold)
            self._pinged = untold[-1].place
        return dropped + await self._take_begun(begun)

    async def _take_begun(self, run_ids: Iterable[str]) -> int:
        begun = [self._begun[run_id] for run_id in run_ids if run_id in self._begun]
        notes = [self._ping(run, has_begun=True) for run in begun]
        dropped = await self._add(_those(notes))
        for run in begun:
            self._begun.pop(run.id, None)
        return dropped

    def _forget_begun(self, told: Sequence[Untold]) -> None:
        for one in told:
            self._begun.pop(one.run_id, None)

    async def _take_runs(self, rules: Sequence[NotificationRule]) -> int:
        begun = tuple(self._begun)  # As above.
        dropped = 0
        while untold := await self._outbox.untold(_AT_A_TIME):
            dropped += await self._add(await self._notes_of(untold, rules), told=untold)
            self._forget_begun(untold)
        return dropped + await self._take_begun(begun)

    async def _notes_of(
        self, untold: Sequence[Untold], rules: Sequence[NotificationRule]
    ) -> list[Note]:
        notes: list[Note] = []
        for one in untold:
            try:
                run = await self._queries.get_run(one.run_id)
            except RunNotFound:
                continue  # Forgotten with its job.
            # What began in memory alone began before it ended; what was told is not told twice.
            has_begun = one.step == BEGUN or run.id in self._begun
            notes += _those([self._ping(run, has_begun=True)] if has_begun else ())
            if one.step != BEGUN:
                notes += await self._notes_of_end(run, rules)
        return notes

    async def _notes_of_end(self, run: Run, rules: Sequence[NotificationRule]) -> list[Note]:
        pings = _those([self._ping(run, has_begun=False)])
        if not rules:
            return pings
        happened = happened_of_run(run, self._job(run.job_id), was_bad=await self._was_bad(run))
        return [*pings, *notes_for(happened, rules)]

    async def _take_errors(self, rules: Sequence[NotificationRule]) -> int:
        mark = await self._outbox.error_mark()
        pages: list[list[Note]] = []
        newest, cursor = mark, None
        while True:
            page = await self._error_log.list_events(limit=_PAGE, cursor=cursor)
            fresh = [event for event in page.items if int(event.id) > mark]
            # Page by page: after a storm of errors there is a lot to put into words.
            told = [happened_of_error(one, self._job(one.job_id)) for one in reversed(fresh)]
            pages.append([note for one in told if one for note in notes_for((one,), rules)])
            newest = max([newest, *(int(event.id) for event in fresh)])
            cursor = page.next_cursor
            if len(fresh) < len(page.items) or cursor is None or not rules:
                break
        if newest == mark:
            return 0
        notes = [note for some in reversed(pages) for note in some]
        return await self._add(notes, error_mark=newest)

    async def _add(self, notes: Sequence[Note], **looked_at: Any) -> int:
        if not notes and not looked_at:
            return 0
        return await self._outbox.add(notes, self._clock(), **looked_at)

    async def _was_bad(self, run: Run) -> bool:
        recent = await self._queries.recent_runs([run.job_id], _EARLIER_RUNS)
        runs = recent.get(run.job_id, ())
        ids = [one.id for one in runs]
        return was_bad(runs[: ids.index(run.id)] if run.id in ids else runs)

    def _ping(self, run: Run, *, has_begun: bool) -> Note | None:
        return ping_of(run, self._job(run.job_id), has_begun=has_begun)

    def _job(self, job_id: str | None) -> Job | None:
        record = self._queries.all_jobs().get(job_id or "")
        return record.job if record is not None else None


def _those(notes: Iterable[Note | None]) -> list[Note]:
    return [note for note in notes if note is not None]
