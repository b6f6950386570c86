"""The queries: what jobs and runs there are. Nothing here changes anything or waits for a save."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from core.ports import JobStore, RunStore
from models.errors import JobNotFound
from models.job_snapshot import order_key
from models.job_state import DamagedJob, JobRecord, JobState
from models.job_status import ACTIVE_STATUSES, JobStatus
from models.progress import RunOutcome
from models.run import Run, RunPage
from models.run_spec import RunKind

DEFAULT_PAGE = 50
MAX_PAGE = 500
_CURSOR_SEPARATOR = "~"


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; None and the empty text mean any."""

    status: str | None = None
    engine: str | None = None
    tag: str | None = None
    q: str | None = None

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
        wanted = self.q.casefold()
        return any(wanted in text.casefold() for text in (job.name, job.source, job.destination))


@dataclass(frozen=True)
class JobPage:
    """A page of jobs in the order of their names; damaged files are listed beside it."""

    items: tuple[JobRecord, ...]
    total: int
    next_cursor: str | None
    damaged: tuple[DamagedJob, ...]


class JobQueries:
    """Reads over the snapshots of the stores."""

    def __init__(self, jobs: JobStore, runs: RunStore) -> None:
        self._jobs = jobs
        self._runs = runs

    def get_job(self, job_id: str) -> JobRecord:
        """Return one job with its state. Raises JobNotFound."""
        try:
            return self._jobs.snapshot()[job_id]
        except KeyError:
            raise JobNotFound(job_id) from None

    def get_job_status(self, job_id: str) -> JobState:
        """Return how one job is. Raises JobNotFound."""
        return self.get_job(job_id).state

    def all_jobs(self) -> Mapping[str, JobRecord]:
        """Return every job by id."""
        return self._jobs.snapshot()

    def list_jobs(
        self,
        wanted: JobFilter | None = None,
        *,
        limit: int = DEFAULT_PAGE,
        cursor: str | None = None,
    ) -> JobPage:
        """Return a page of jobs by name; `limit` is at most 500."""
        wanted = wanted or JobFilter()
        limit = max(1, min(limit, MAX_PAGE))
        after = None
        if cursor:
            # By its place in the order: the job itself may not match any more, or be gone.
            name, _, job_id = cursor.rpartition(_CURSOR_SEPARATOR)
            after = (name, job_id)
        snapshot = self._jobs.snapshot()
        matching = filter(wanted.accepts, snapshot.in_order(after))
        page = tuple(islice(matching, limit + 1))
        items = page[:limit]
        total = len(snapshot)
        if wanted != JobFilter():
            total = sum(map(wanted.accepts, snapshot.in_order()))
        has_more = len(page) > limit
        return JobPage(
            items=items,
            total=total,
            next_cursor=_CURSOR_SEPARATOR.join(order_key(items[-1])) if has_more else None,
            damaged=self._jobs.damaged(),
        )

    async def get_run(self, run_id: str) -> Run:
        """Return one run. Raises RunNotFound."""
        return await self._runs.get(run_id)

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

    async def recent_runs(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[Run, ...]]:
        """Return the newest transfers of some jobs, oldest first within a job."""
        return await self._runs.recent_by_job(job_ids, limit)


def urgency(record: JobRecord) -> tuple[int, str, str]:
    """A sort key that puts what runs first, then what needs a person, then the rest by name."""
    status = record.state.status
    if status in ACTIVE_STATUSES:
        rank = 0
    elif status in {JobStatus.FAILED, JobStatus.INTERRUPTED}:
        rank = 1
    else:
        rank = 2
    return (rank, *order_key(record))
