"""The queries: what jobs and runs there are. Nothing here changes anything or waits for a save."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from heapq import nlargest, nsmallest
from itertools import islice

from core.ports import JobStore, RunStore
from models.errors import JobNotFound
from models.job_snapshot import JobSnapshot, order_key
from models.job_state import DamagedJob, JobRecord, JobState
from models.job_status import ACTIVE_STATUSES, JobStatus
from models.progress import RunOutcome
from models.run import DayTotal, Run, RunOutline, RunPage
from models.run_spec import RunKind

DEFAULT_PAGE = 50
MAX_PAGE = 500
_CURSOR_SEPARATOR = "~"


class JobSort(StrEnum):
    """In which order to list jobs; among equals by name."""

    NAME = "name"
    URGENCY = "urgency"
    """What runs, then what needs a person, then the rest."""
    CHANGED = "changed"
    """Whose status changed last comes first."""
    LAST_GOOD = "last_good"
    """Who has been without a good run for the longest comes first."""


@lru_cache(maxsize=20_000)
def _searched(name: str, source: str, destination: str) -> str:
    """Where words are looked for, without regard to case: remembered, since a search looks at every
    job. A line of its own for each, so that none is found across two of them."""
    return f"{name}\n{source}\n{destination}".casefold()


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; None and the empty text mean any."""

    status: str | None = None
    engine: str | None = None
    tag: str | None = None
    q: str | None = None
    is_overdue: bool = False
    """Whether those alone are wanted that are overdue; JobQueries knows which."""

    def accepts(self, record: JobRecord) -> bool:
        """Whether a job is to be listed."""
        job, state = record.job, record.state
        if self.status and state.status != self.status:
            return False
        if self.engine and job.engine != self.engine:
            return False
        if self.tag and self.tag not in job.tags:
            return False
        if not self.q:
            return True
        return self.q.casefold() in _searched(job.name, job.source, job.destination)

    def those_of(self, records: Iterator[JobRecord]) -> Iterator[JobRecord]:
        """Return those to be listed, in their order."""
        return records if self == JobFilter() else filter(self.accepts, records)


@dataclass(frozen=True)
class JobPage:
    """A page of jobs in the order of their names; damaged files are listed beside it."""

    items: tuple[JobRecord, ...]
    total: int
    next_cursor: str | None
    damaged: tuple[DamagedJob, ...]


class JobQueries:
    """Reads over the snapshots of the stores."""

    def __init__(self, jobs: JobStore, runs: RunStore, *, overdue: Container[str] = ()) -> None:
        self._jobs = jobs
        self._runs = runs
        self._overdue = overdue

    def get_job(self, job_id: str) -> JobRecord:
        """Return one job with its state. Raises JobNotFound."""
        try:
            return self._jobs.snapshot()[job_id]
        except KeyError:
            raise JobNotFound(job_id) from None

    def get_job_status(self, job_id: str) -> JobState:
        """Return how one job is. Raises JobNotFound."""
        return self.get_job(job_id).state

    def all_jobs(self) -> JobSnapshot:
        """Return every job by id."""
        return self._jobs.snapshot()

    def tags(self) -> tuple[str, ...]:
        """Return every tag that a job has, by name."""
        return tuple(sorted(self._jobs.snapshot().tags, key=str.casefold))

    def list_jobs(
        self,
        wanted: JobFilter | None = None,
        *,
        sort: JobSort = JobSort.NAME,
        limit: int = DEFAULT_PAGE,
        cursor: str | None = None,
    ) -> JobPage:
        """Return a page of jobs; `limit` is at most 500. A cursor is one of the same sort."""
        wanted = wanted or JobFilter()
        limit = max(1, min(limit, MAX_PAGE))
        if sort is not JobSort.NAME:
            return self._sorted_page(wanted, sort, limit, cursor)
        after = None
        if cursor:
            # By its place in the order: the job itself may not match any more, or be gone.
            name, _, job_id = cursor.rpartition(_CURSOR_SEPARATOR)
            after = (name, job_id)
        snapshot = self._jobs.snapshot()
        behind = self._wanted_of(wanted, snapshot.in_order(after))
        page = tuple(islice(behind, limit + 1))
        items = page[:limit]
        total = len(snapshot)
        if wanted != JobFilter():
            is_all_seen = after is None and len(page) <= limit
            every = self._wanted_of(wanted, snapshot.in_order())
            total = len(page) if is_all_seen else sum(1 for _ in every)
        has_more = len(page) > limit
        return JobPage(
            items=items,
            total=total,
            next_cursor=_CURSOR_SEPARATOR.join(order_key(items[-1])) if has_more else None,
            damaged=self._jobs.damaged(),
        )

    def _sorted_page(
        self, wanted: JobFilter, sort: JobSort, limit: int, cursor: str | None
    ) -> JobPage:
        """The place of a job is worked out for each: only the order by name is kept."""
        place = self._urgency_rank if sort is JobSort.URGENCY else _PLACES[sort]
        first = nlargest if sort is JobSort.CHANGED else nsmallest
        matching = list(self._wanted_of(wanted, self._jobs.snapshot().in_order()))
        after = _place_in(cursor)

        def is_behind(record: JobRecord) -> bool:
            assert after is not None
            here = place(record)
            if here == after[0]:
                return order_key(record) > after[1:]
            return here < after[0] if sort is JobSort.CHANGED else here > after[0]

        behind = matching if after is None else filter(is_behind, matching)
        # Both keep the order by name among equals, and put no more in order than the page.
        page = first(limit + 1, behind, key=place)
        items = tuple(page[:limit])
        more = [place(items[-1]), *order_key(items[-1])] if len(page) > limit else None
        return JobPage(
            items=items,
            total=len(matching),
            next_cursor=json.dumps(more) if more else None,
            damaged=self._jobs.damaged(),
        )

    def _wanted_of(self, wanted: JobFilter, records: Iterator[JobRecord]) -> Iterator[JobRecord]:
        found = wanted.those_of(records)
        if wanted.is_overdue:
            return (record for record in found if record.job.id in self._overdue)
        return found

    def _urgency_rank(self, record: JobRecord) -> str:
        status = record.state.status
        if status in ACTIVE_STATUSES:
            return "0"
        needs_person = status in {JobStatus.FAILED, JobStatus.INTERRUPTED}
        return "1" if needs_person or record.job.id in self._overdue else "2"

    async def get_run(self, run_id: str) -> Run:
        """Return one run. Raises RunNotFound."""
        return await self._runs.get(run_id)

    async def known_runs(self, run_ids: Collection[str]) -> frozenset[str]:
        """Return which of these runs are in the history."""
        return await self._runs.known(run_ids)

    async def list_runs(
        self,
        *,
        job_id: str | None = None,
        outcome: RunOutcome | None = None,
        q: str | None = None,
        limit: int = DEFAULT_PAGE,
        cursor: str | None = None,
    ) -> RunPage:
        """Return a page of the history, newest first: of one job, of an outcome, of jobs with a
        text in their name. Raises JobNotFound for an unknown job."""
        if job_id is not None:
            self.get_job(job_id)
        return await self._runs.list_runs(
            job_id=job_id, outcome=outcome, q=q, limit=limit, cursor=cursor
        )

    async def newest_run(self, job_id: str, kind: RunKind | None = None) -> Run | None:
        """Return the newest run of a job, or its newest of a kind; None when there is none."""
        page = await self._runs.list_runs(job_id=job_id, kind=kind, limit=1)
        return next(iter(page.items), None)

    async def run_outlines(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[RunOutline, ...]]:
        """Return outlines of the newest transfers of some jobs, oldest first within a job."""
        return await self._runs.outlines_by_job(job_ids, limit)

    async def recent_runs(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[Run, ...]]:
        """Return the newest transfers of some jobs, oldest first within a job."""
        return await self._runs.recent_by_job(job_ids, limit)

    async def totals_by_day(self, since: str) -> tuple[DayTotal, ...]:
        """Return what ended on each day of UTC from one on, by outcome, the oldest first."""
        return await self._runs.totals_by_day(since)

    async def last_successes(self) -> Mapping[str, str]:
        """Return when the last success of each job ended that has had one."""
        return await self._runs.last_successes()


_PLACES: Mapping[JobSort, Callable[[JobRecord], str]] = {
    JobSort.CHANGED: lambda record: record.state.changed_at or "",
    JobSort.LAST_GOOD: lambda record: record.state.last_good_at or "",
}


def _place_in(cursor: str | None) -> tuple[str, ...] | None:
    """Return the place that a cursor holds; None for none and for what is none of ours."""
    try:
        place = json.loads(cursor or "null")
    except (ValueError, RecursionError):
        return None
    is_place = isinstance(place, list) and [type(part) for part in place] == [str, str, str]
    return tuple(place) if is_place else None
