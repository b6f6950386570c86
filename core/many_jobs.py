"""One command for several jobs: each is done, or says why not; none keeps the others from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from core.job_manager import JobManager
from core.job_queries import JobQueries
from models.errors import InvalidDefinition, LongshoreError
from models.job import JobDefinition
from utils.log_context import about

MAX_JOBS = 1_000
"""How many jobs one request may name."""
_DEFINITION = frozenset(JobDefinition.model_fields)


@dataclass(frozen=True)
class Refusal:
    """A job that was not done, with the reason."""

    job_id: str
    name: str
    reason: str


@dataclass
class Outcome:
    """What came of a command: the ids of those that it was done to, and the others."""

    done: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class ManyJobs:
    """Commands on several jobs, one job after the other. `on_done` is called with each at once:
    whatever ends this in between, what was done until then is known."""

    def __init__(
        self, manager: JobManager, queries: JobQueries, on_done: Callable[[str], None]
    ) -> None:
        self._manager = manager
        self._queries = queries
        self._on_done = on_done

    async def start(self, job_ids: Sequence[str]) -> Outcome:
        """Start or queue each."""
        return await self._each(job_ids, self._manager.start_job)

    async def stop(self, job_ids: Sequence[str]) -> Outcome:
        """Stop each."""
        return await self._each(job_ids, self._manager.stop_job)

    async def delete(self, job_ids: Sequence[str]) -> Outcome:
        """Delete each that is at rest."""
        return await self._each(job_ids, self._manager.delete_job)

    async def tag(self, job_ids: Sequence[str], tag: str, *, on: bool) -> Outcome:
        """Give each a tag, or take it away; a job that is so already is done as it is."""

        async def change(job_id: str) -> None:
            job = self._queries.get_job(job_id).job
            tags = [one for one in job.tags if one != tag] + ([tag] if on else [])
            definition = job.model_dump(mode="json", include=set(_DEFINITION))
            if set(tags) != set(job.tags):
                await self._manager.update_job(
                    job_id, definition | {"tags": tags}, expected_version=job.version
                )

        return await self._each(job_ids, change)

    async def _each(
        self, job_ids: Sequence[str], command: Callable[[str], Awaitable[object]]
    ) -> Outcome:
        outcome = Outcome()
        for job_id in job_ids:
            record = self._queries.all_jobs().get(job_id)
            try:
                with about(job_id=job_id):
                    await command(job_id)
            except LongshoreError as error:
                name = record.job.name if record else job_id
                outcome.refused.append(Refusal(job_id, name, _reason(error)))
            else:
                outcome.done.append(job_id)
                self._on_done(job_id)
        return outcome


def _reason(error: LongshoreError) -> str:
    if isinstance(error, InvalidDefinition):
        return " ".join(fault.message for fault in error.faults)
    return str(error)
