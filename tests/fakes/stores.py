"""JobStore and RunStore in memory: they keep the same promises as the real ones (tests/contract),
and can be told to fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from models.errors import (
    JobExists,
    JobNotFound,
    RunNotFound,
    SaveOutcomeUnknown,
    StorageFailed,
)
from models.job import Job
from models.job_snapshot import JobSnapshot
from models.job_state import DamagedJob, JobRecord, JobState
from models.progress import RunOutcome
from models.run import MAX_DRY_RUNS, DayTotal, Run, RunOutline, RunPage, outline_of
from models.run_spec import RunKind

MAX_PAGE = 200


class Failing:
    """Fails the calls whose names stand in `failing`, as a full disk would."""

    def __init__(self) -> None:
        self.failing: set[str] = set()

    async def _touch_disk(self, call: str) -> None:
        # A real store gives way to others here.
        await asyncio.sleep(0)
        if call in self.failing:
            raise StorageFailed(call, "No space left on device")


class InMemoryJobStore(Failing):
    """Jobs in a dictionary; `kept` is what a restart would find, without what was published."""

    def __init__(self) -> None:
        super().__init__()
        self._snapshot = JobSnapshot()
        self.kept: dict[str, JobState] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.broken: tuple[DamagedJob, ...] = ()
        self.vanishing = False
        """Whether a person removes the file of whatever is to be saved."""
        self.unconfirmed = False
        """Whether what is saved is there, but not confirmed by the disk."""

    def snapshot(self) -> JobSnapshot:
        """Return every job, by id."""
        return self._snapshot

    def damaged(self) -> tuple[DamagedJob, ...]:
        """Return what the test put there."""
        return self.broken

    async def create(self, job: Job, state: JobState) -> None:
        """Keep a new job."""
        if job.id in self._snapshot:
            raise JobExists(job.id)
        await self._touch_disk("create")
        self._keep(state)
        self._put(JobRecord(job, state))

    async def transform(self, job_id: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        """Replace a job by what `change` makes of it."""
        self._record(job_id)
        async with self._locks.setdefault(job_id, asyncio.Lock()):
            if self.vanishing:
                self._snapshot = self._snapshot.without(job_id)
            current = self._record(job_id)
            wanted = change(current)
            job, state = current.job, current.state
            if wanted.job != job:
                job = wanted.job.model_copy(update={"version": job.version + 1})
                await self._touch_disk("save_job")
            if wanted.state != state:
                state = replace(wanted.state, version=state.version + 1)
                await self._touch_disk("save_state")
                self._keep(state)
            self._put(JobRecord(job, state))
            if self.unconfirmed:
                raise SaveOutcomeUnknown("Saving the job", "Input/output error")
            return self._record(job_id)

    async def delete(self, job_id: str, *, allow: Callable[[JobRecord], None]) -> None:
        """Remove definition and state."""
        allow(self._record(job_id))
        await self._touch_disk("delete")
        self.kept.pop(job_id)
        self._snapshot = self._snapshot.without(job_id)

    def publish_state(self, state: JobState) -> None:
        """Show a state to readers."""
        self._put(JobRecord(self._record(state.job_id).job, state))

    def _keep(self, state: JobState) -> None:
        self.kept[state.job_id] = state

    def _record(self, job_id: str) -> JobRecord:
        try:
            return self._snapshot[job_id]
        except KeyError:
            raise JobNotFound(job_id) from None

    def _put(self, record: JobRecord) -> None:
        self._snapshot = self._snapshot.with_record(record)


class InMemoryRunStore(Failing):
    """Runs in two dictionaries: kept ones and, in front of them, published ones."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Run] = {}
        self._published: dict[str, Run] = {}
        self._places: dict[str, int] = {}
        self._totals: Counter[tuple[str, RunOutcome, str]] = Counter()
        self._successes: dict[str, str] = {}

    async def add(self, run: Run) -> None:
        """Keep a new run."""
        await self._touch_disk("add")
        await self._save(run)

    async def save(self, run: Run) -> None:
        """Keep the run as it is now."""
        self.publish(run)
        await self._touch_disk("save")
        await self._save(run)

    def publish(self, run: Run) -> None:
        """Show a run to readers."""
        self._published[run.id] = run

    async def remove(self, run_id: str) -> None:
        """Forget a run."""
        await self._touch_disk("remove")
        self._published.pop(run_id, None)
        self.kept.pop(run_id, None)

    async def get(self, run_id: str) -> Run:
        """Return one run."""
        run = self._published.get(run_id) or self.kept.get(run_id)
        if run is None:
            raise RunNotFound(run_id)
        return run

    async def prune(
        self, job_id: str | None, *, keep: int, ended_before: str | None = None
    ) -> tuple[str, ...]:
        """Forget ended runs that are too many or too old."""
        await self._touch_disk("prune")
        old: list[str] = []
        for one in {run.job_id for run in self.kept.values()} if job_id is None else {job_id}:
            for kind in RunKind:
                most = keep if kind is RunKind.TRANSFER else min(keep, MAX_DRY_RUNS)
                ended = [run for run in self._newest_first(one, kind) if run.outcome is not None]
                old += [
                    run.id
                    for rank, run in enumerate(ended, start=1)
                    if rank > most
                    or (rank > 1 and ended_before and (run.ended_at or "") < ended_before)
                ]
        for run_id in old:
            del self.kept[run_id]
        if job_id is None:
            jobs = {run.job_id for run in self.kept.values()}
            self._successes = {one: at for one, at in self._successes.items() if one in jobs}
        return tuple(old)

    async def known(self, run_ids: Collection[str]) -> frozenset[str]:
        """Return which of these runs there are."""
        return frozenset(run_ids) & self.kept.keys()

    async def unfinished(self) -> tuple[str, ...]:
        """Return the runs that are kept without an end."""
        return tuple(run.id for run in self.kept.values() if run.outcome is None)

    async def oldest_first(self, run_ids: Collection[str]) -> tuple[str, ...]:
        """Return those of these runs that there are, as they were added."""
        return tuple(run_id for run_id in self.kept if run_id in run_ids)

    async def list_runs(
        self,
        *,
        job_id: str | None = None,
        kind: RunKind | None = None,
        outcome: RunOutcome | None = None,
        q: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Return a page of the history, newest first."""
        limit = max(1, min(limit, MAX_PAGE))
        matching = [
            run
            for run in self._newest_first(job_id, kind)
            if outcome in (None, run.outcome) and (q or "").lower() in run.job_name.lower()
        ]
        total = len(matching)
        if cursor and cursor.isdecimal():
            matching = [run for run in matching if self._places[run.id] < int(cursor)]
        items = tuple(self._published.get(run.id, run) for run in matching[:limit])
        last = items[-1] if len(matching) > limit else None
        return RunPage(items, total, str(self._places[last.id]) if last else None)

    async def recent_by_job(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[Run, ...]]:
        """Return the newest transfers of some jobs, oldest first."""
        recent = {
            job_id: self._newest_first(job_id, RunKind.TRANSFER)[:limit] for job_id in set(job_ids)
        }
        return {
            job_id: tuple(self._published.get(run.id, run) for run in reversed(runs))
            for job_id, runs in recent.items()
            if runs
        }

    async def outlines_by_job(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[RunOutline, ...]]:
        """Return outlines of the newest transfers of some jobs, oldest first."""
        recent = await self.recent_by_job(job_ids, limit)
        return {job_id: tuple(map(outline_of, runs)) for job_id, runs in recent.items()}

    async def totals_by_day(self, since: str) -> tuple[DayTotal, ...]:
        """Return what ended on each day from one on."""
        found = sorted({(day, outcome) for day, outcome, _ in self._totals if day >= since})
        totals = self._totals
        return tuple(
            DayTotal(*place, totals[*place, "runs"], totals[*place, "bytes"])
            for place in found
            if totals[*place, "runs"]
        )

    async def last_successes(self) -> Mapping[str, str]:
        """Return when the last success of each job ended."""
        return dict(self._successes)

    def _count(self, run: Run | None, times: int) -> None:
        if run is None or run.outcome is None or run.kind != RunKind.TRANSFER:
            return
        place = ((run.ended_at or "")[:10], run.outcome)
        self._totals[*place, "runs"] += times
        self._totals[*place, "bytes"] += times * run.bytes_sent

    async def _save(self, run: Run) -> None:
        self._count(self.kept.get(run.id), -1)
        self._count(run, 1)
        self.kept[run.id] = run
        self._places.setdefault(run.id, len(self._places))
        if run.is_success and run.ended_at:
            self._successes[run.job_id] = run.ended_at
        if run.is_over:
            self._published.pop(run.id, None)
        else:
            self._published[run.id] = run

    def _newest_first(self, job_id: str | None, kind: RunKind | None = None) -> list[Run]:
        matching = [
            run
            for run in self.kept.values()
            if job_id in (None, run.job_id) and kind in (None, run.kind)
        ]
        return sorted(matching, key=lambda run: self._places[run.id], reverse=True)
