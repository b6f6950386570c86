"""The commands: everything that changes a job or a run. Returns ids or nothing.

One event loop owns the state; each job has one lock (architecture.md, decision 2). Reads are in
`core/job_queries.py`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.definition_check import check_definition
from core.new_run import RunLimits, new_run, spec_of
from core.partial_files import remove_all_partial_files
from core.ports import Clock, EventSink, Executor, JobStore, RunDirectories, RunStore, ToolFinder
from models.errors import (
    JobIsActive,
    JobNotFound,
    NothingToDiscard,
    NothingToStop,
    RunnerStartFailed,
    RunNotFound,
    StorageFailed,
    VersionConflict,
)
from models.events import JournalLine
from models.job import Job, id_stem
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run import Run
from models.run_history import apply_lines, close_run
from models.run_spec import RunSpec
from models.transitions import STATUS_OF_OUTCOME, advance

KEPT_RUNS_PER_JOB = 50
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ports:
    """What the commands need from outside."""

    jobs: JobStore
    runs: RunStore
    directories: RunDirectories
    executor: Executor
    tools: ToolFinder
    sink: EventSink
    clock: Clock


class JobManager:
    """Commands on jobs and runs."""

    def __init__(self, ports: Ports, limits: RunLimits) -> None:
        self._ports = ports
        self._limits = limits
        self._locks: dict[str, asyncio.Lock] = {}
        self._under_way: set[str] = set()

    async def create_job(self, definition: Mapping[str, Any]) -> str:
        """Keep a new job; returns its id. Raises InvalidDefinition, StorageFailed."""
        valid = await check_definition(definition)
        now = self._ports.clock.now()
        job_id = self._new_job_id(valid.name)
        job = Job(
            **valid.model_dump(), id=job_id, version=1, created_at=_time(now), updated_at=_time(now)
        )
        await self._ports.jobs.create(job, JobState(job_id, changed_at=now))
        self._ports.sink.jobs_changed([job_id])
        return job_id

    async def update_job(
        self, job_id: str, definition: Mapping[str, Any], *, expected_version: int
    ) -> None:
        """Replace a definition. Raises JobNotFound, VersionConflict, InvalidDefinition,
        StorageFailed."""
        _refuse_old_version(self._record(job_id).job, expected_version)
        valid = await check_definition(definition)
        now = self._ports.clock.now()

        def change(record: JobRecord) -> JobRecord:
            _refuse_old_version(record.job, expected_version)
            job = Job(
                **valid.model_dump(),
                id=job_id,
                version=expected_version + 1,
                created_at=record.job.created_at,
                updated_at=_time(now),
            )
            return replace(record, job=job)

        await self._ports.jobs.transform(job_id, change)
        self._ports.sink.jobs_changed([job_id])

    async def delete_job(self, job_id: str) -> None:
        """Remove a job at rest and its history; what it copied stays where it is.

        Raises JobNotFound, JobIsActive, StorageFailed.
        """
        async with self._lock(job_id):
            await self._ports.jobs.delete(job_id, allow=_refuse_active("delete"))
            await self._prune(job_id, keep=0)
        self._locks.pop(job_id, None)
        self._ports.sink.jobs_changed([job_id])

    async def start_job(self, job_id: str) -> str:
        """Start a run, or queue it when as many as allowed are under way; returns the run's id.

        Raises JobNotFound, JobIsActive, StorageFailed. A runner that cannot be started is the
        run's failure, not the command's.
        """
        async with self._lock(job_id):
            record = self._record(job_id)
            _refuse_active("start")(record)
            run = new_run(record.job, now=self._ports.clock.now())
            tool_path = self._ports.tools.path_of(record.job.engine)
            spec = spec_of(run, record, tool_path=tool_path, limits=self._limits)
            starts_now = len(self._under_way) < self._limits.max_concurrent_runs
            if starts_now:
                self._under_way.add(run.id)
                run = replace(run, status=JobStatus.RUNNING)
            try:
                await self._keep_new_run(run, spec, record)
            except BaseException:
                self._under_way.discard(run.id)
                # Should the state name the run all the same, the monitor finds it dead and ends it.
                self._ports.sink.run_started(run.id)
                raise
            if starts_now:
                await self._submit(run)
        self._ports.sink.jobs_changed([job_id])
        return run.id

    async def stop_job(self, job_id: str) -> None:
        """Stop the job's run: it becomes paused once its processes have ended; a queued run goes.

        Raises JobNotFound, NothingToStop, StorageFailed.
        """
        async with self._lock(job_id):
            state = self._record(job_id).state
            run_id = state.run_id
            if state.status is JobStatus.QUEUED and run_id is not None:
                await self._withdraw(state, run_id)
            elif state.status is JobStatus.RUNNING and run_id is not None:
                now = self._ports.clock.now()
                run = await self._ports.runs.get(run_id)

                def stop(state: JobState) -> JobState:
                    return advance(state, JobStatus.STOPPING, changed_at=now, message=state.message)

                try:
                    await self._change_state(job_id, stop)
                except StorageFailed as error:
                    # The very transfer that fills the disk must still be stoppable.
                    _logger.error("stopping %s was not kept: %s", run_id, error)
                    state = self._record(job_id).state
                    if state.status is JobStatus.RUNNING:
                        self._ports.jobs.publish_state(stop(state))
                self._ports.runs.publish(replace(run, status=JobStatus.STOPPING))
                await self._ports.executor.stop(run_id)
            else:
                raise NothingToStop(job_id, state.status)
        self._ports.sink.jobs_changed([job_id])

    async def discard(self, job_id: str) -> None:
        """Make a paused or interrupted job pending and remove its partial files.

        Raises JobNotFound, NothingToDiscard, StorageFailed.
        """
        async with self._lock(job_id):
            record = self._record(job_id)
            if not record.state.is_resumable:
                raise NothingToDiscard(job_id, record.state.status)
            destination = await self._destination_of_last_run(record)
            try:
                await asyncio.to_thread(remove_all_partial_files, destination)
            except OSError as error:
                raise StorageFailed("Removing the partial files", str(error)) from error
            now = self._ports.clock.now()
            await self._change_state(
                job_id,
                lambda state: replace(
                    advance(state, JobStatus.PENDING, changed_at=now), progress=None
                ),
            )
        self._ports.sink.jobs_changed([job_id])

    async def update_job_from_engine(self, run_id: str, lines: Sequence[JournalLine]) -> bool:
        """Apply lines of a run's journal to run and job; True when the run is over.

        Raises RunNotFound, StorageFailed.
        """
        run = await self._ports.runs.get(run_id)
        async with self._lock(run.job_id):
            state = self._record(run.job_id).state
            if run.is_over and not (state.run_id == run_id and state.is_active):
                # Its end was kept after all, though the disk had not confirmed it.
                self._under_way.discard(run_id)
                return True
            if state.run_id != run_id:
                raise RunNotFound(run_id)
            if not run.is_over:
                run = apply_lines(replace(run, status=state.status), lines)
            if run.is_over:
                await self._finish(run)
            else:
                self._ports.runs.publish(run)
                self._ports.jobs.publish_state(
                    replace(state, progress=run.progress, message=run.message)
                )
        self._ports.sink.jobs_changed([run.job_id])
        if run.is_over:
            await self.launch_queued()
        return run.is_over

    async def close_dead_run(self, run_id: str) -> None:
        """End a run whose runner is gone: by its result if it left one, else as interrupted."""
        run = await self._ports.runs.get(run_id)
        if run.is_over:
            await self.update_job_from_engine(run_id, [])
            return
        result = await self._ports.directories.result(run_id)
        if result is not None and await self.update_job_from_engine(run_id, [result]):
            return
        async with self._lock(run.job_id):
            state = self._record(run.job_id).state
            if state.run_id == run_id and state.is_active:
                run = await self._ports.runs.get(run_id)
                message = "The machine or the runner went away. The job can be resumed."
                now = self._ports.clock.now()
                await self._finish(
                    close_run(run, RunOutcome.INTERRUPTED, ended_at=now, message=message)
                )
        self._ports.sink.jobs_changed([run.job_id])
        await self.launch_queued()

    async def adopt(self, run_id: str) -> None:
        """Take a run that lives into account: it occupies a place and is followed.

        A run that was to stop is told so again: the server may have ended before it said it.
        """
        self._under_way.add(run_id)
        self._ports.sink.run_started(run_id)
        run = await self._ports.runs.get(run_id)
        if self._record(run.job_id).state.status is JobStatus.STOPPING:
            await self._ports.executor.stop(run_id)

    async def restore_run(self, job_id: str) -> Run:
        """Return the run that a job's state names, made anew when the history lost it."""
        record = self._record(job_id)
        run_id = record.state.run_id
        assert run_id is not None
        try:
            return await self._ports.runs.get(run_id)
        except RunNotFound:
            run = new_run(record.job, now=self._ports.clock.now())
            run = replace(run, id=run_id, status=record.state.status)
            await self._ports.runs.add(run)
            return run

    def has_waiting(self) -> bool:
        """Whether a job is queued."""
        return any(
            record.state.status is JobStatus.QUEUED
            for record in self._ports.jobs.snapshot().values()
        )

    async def launch_queued(self) -> None:
        """Start queued runs, the oldest first, while there is room. Raises StorageFailed."""
        while len(self._under_way) < self._limits.max_concurrent_runs:
            waiting = [
                record.state
                for record in self._ports.jobs.snapshot().values()
                if record.state.status is JobStatus.QUEUED
                and record.state.run_id not in self._under_way
            ]
            if not waiting:
                return
            oldest = min(waiting, key=lambda state: state.changed_at or "")
            await self._launch(oldest.job_id)

    async def _launch(self, job_id: str) -> None:
        async with self._lock(job_id):
            state = self._record(job_id).state
            if state.status is not JobStatus.QUEUED or state.run_id is None:
                return
            if len(self._under_way) >= self._limits.max_concurrent_runs:
                return  # Another start took the place while this one waited for the lock.
            self._under_way.add(state.run_id)
            try:
                run = await self.restore_run(job_id)
                now = self._ports.clock.now()
                await self._change_state(
                    job_id, lambda state: advance(state, JobStatus.RUNNING, changed_at=now)
                )
            except BaseException:
                self._under_way.discard(state.run_id)
                shown = self._ports.jobs.snapshot().get(job_id)
                if shown is not None and shown.state.status is JobStatus.RUNNING:
                    # Kept after all: the monitor finds it dead and ends it.
                    self._ports.sink.run_started(state.run_id)
                raise
            await self._submit(replace(run, status=JobStatus.RUNNING))
        self._ports.sink.jobs_changed([job_id])

    async def _submit(self, run: Run) -> None:
        self._ports.runs.publish(run)
        try:
            await self._ports.executor.submit(run.id)
        except RunnerStartFailed as error:
            _logger.error("%s", error)
            now = self._ports.clock.now()
            ended = close_run(run, RunOutcome.FAILED, ended_at=now, message=str(error))
            try:
                await self._finish(ended)
            except StorageFailed:
                # The monitor finds it dead and tries again to end it.
                self._ports.sink.run_started(run.id)
                raise
            return
        # Not before: the monitor would take a runner that has no lock yet for a dead one.
        self._ports.sink.run_started(run.id)

    async def _finish(self, run: Run) -> None:
        # In two steps: the final progress and the outcome are durable in the history before the
        # status is. If the machine stops in between, recovery finds the ended run and does the
        # second step.
        assert run.outcome is not None
        assert run.ended_at is not None
        await self._ports.runs.save(run)
        status, ended_at = STATUS_OF_OUTCOME[run.outcome], run.ended_at

        def end(state: JobState) -> JobState:
            ended = advance(state, status, changed_at=ended_at, message=run.message)
            if status is JobStatus.COMPLETED:
                ended = replace(ended, last_good_at=ended_at)
            return replace(ended, progress=run.progress)

        await self._change_state(run.job_id, end)
        self._under_way.discard(run.id)
        await self._prune(run.job_id, keep=KEPT_RUNS_PER_JOB)

    async def _withdraw(self, state: JobState, run_id: str) -> None:
        newest = (await self._ports.runs.list_runs(job_id=state.job_id, limit=2)).items
        last = next((run for run in newest if run.id != run_id), None)
        now = self._ports.clock.now()

        def go_back(state: JobState) -> JobState:
            back = advance(
                state,
                state.previous_status or JobStatus.PENDING,
                changed_at=now,
                message=last.message if last else None,
            )
            return replace(
                back,
                run_id=last.id if last else None,
                definition_version=None,
                progress=last.progress if last else None,
            )

        await self._change_state(state.job_id, go_back)
        await self._ports.runs.remove(run_id)
        await self._ports.directories.remove(run_id)

    async def _prune(self, job_id: str, *, keep: int) -> None:
        try:
            old = await self._ports.runs.prune(job_id, keep=keep)
        except StorageFailed as error:
            # Tidying: the next run's end tries again.
            _logger.error("old runs of %s are kept: %s", job_id, error)
            return
        for run_id in old:
            await self._ports.directories.remove(run_id)

    async def _destination_of_last_run(self, record: JobRecord) -> str:
        # The definition may have been changed since.
        try:
            return (await self._ports.runs.get(record.state.run_id or "")).destination
        except RunNotFound:
            return record.job.destination

    async def _change_state(self, job_id: str, change: Callable[[JobState], JobState]) -> None:
        await self._ports.jobs.transform(
            job_id, lambda record: replace(record, state=change(record.state))
        )

    async def _keep_new_run(self, run: Run, spec: RunSpec, record: JobRecord) -> None:
        def begin(state: JobState) -> JobState:
            queued = replace(
                advance(state, JobStatus.QUEUED, changed_at=run.queued_at),
                run_id=run.id,
                definition_version=record.job.version,
                progress=None,
            )
            if run.status is JobStatus.QUEUED:
                return replace(queued, message="Waits for another run to end.")
            return advance(queued, JobStatus.RUNNING, changed_at=run.queued_at)

        def undo(state: JobState) -> JobState:
            return replace(
                record.state,
                version=state.version,
                edited_version=state.edited_version,
                edited_digest=state.edited_digest,
            )

        # Beside one another, so that a start waits for one fsync after another only where it must:
        # the runner is not started before all three are durable.
        results = await asyncio.gather(
            self._ports.directories.prepare(spec),
            self._ports.runs.add(run),
            self._change_state(run.job_id, begin),
            return_exceptions=True,
        )
        failures = [result for result in results if isinstance(result, BaseException)]
        if not failures:
            return
        # The state first: a job that names a run which never was would be under way for ever.
        kept = self._ports.jobs.snapshot().get(run.job_id)
        if kept is not None and kept.state.run_id == run.id:
            await self._change_state(run.job_id, undo)
        await self._ports.directories.remove(run.id)
        try:
            await self._ports.runs.remove(run.id)
        except StorageFailed as error:
            _logger.error("run %s is left in the history: %s", run.id, error)
        raise failures[0]

    def _new_job_id(self, name: str) -> str:
        while True:
            job_id = f"{id_stem(name)}-{secrets.token_hex(2)}"
            if job_id not in self._ports.jobs.snapshot():
                return job_id

    def _record(self, job_id: str) -> JobRecord:
        try:
            return self._ports.jobs.snapshot()[job_id]
        except KeyError:
            raise JobNotFound(job_id) from None

    def _lock(self, job_id: str) -> asyncio.Lock:
        self._record(job_id)
        return self._locks.setdefault(job_id, asyncio.Lock())


def _refuse_old_version(job: Job, expected: int) -> None:
    if job.version != expected:
        raise VersionConflict(job.id, expected, job.version)


def _refuse_active(command: str) -> Callable[[JobRecord], None]:
    def check(record: JobRecord) -> None:
        if record.state.is_active:
            raise JobIsActive(record.job.id, record.state.status, command)

    return check


def _time(timestamp: str) -> Any:
    return timestamp[:19] + "Z"
