"""The commands: everything that changes a job or a run. Returns ids or nothing.

Those of people stand here, how a run begins in `core/run_beginner.py`, what concerns runs under way
in `core/run_keeper.py`, the queue in `core/run_launcher.py`. Reads are in `core/job_queries.py`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any

from core.allowed_roots import is_allowed, outside_words
from core.definition_check import check_definition
from core.failed_files import listed, names_to_retry, narrowed, refuse_folders, retry_run
from core.new_run import new_run
from core.partial_files import remove_all_partial_files
from core.patience import answers, in_a_thread
from core.run_beginner import RunBeginner
from models.errors import (
    FileFailed,
    JobIsActive,
    NothingToDiscard,
    NothingToStop,
    OutsideRoots,
    RunNotFound,
    StorageFailed,
    VersionConflict,
)
from models.events import JournalLine
from models.job import Job, JobDefinition, id_stem
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.remote import is_remote
from models.run_spec import RunKind
from models.transitions import advance, end_dry_run
from utils.log_context import note

_MAX_RESUMED_IN_A_ROW = 5
"""How often a job that is cut off again and again goes on by itself."""
_logger = logging.getLogger(__name__)


class JobManager(RunBeginner):
    """Commands on jobs and runs."""

    async def create_job(self, definition: Mapping[str, Any]) -> str:
        """Keep a new job; returns its id. Raises InvalidDefinition, StorageFailed."""
        valid = await self._checked(definition)
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
        valid = await self._checked(definition)
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
        """Start a run, or queue it when as many as allowed are under way or when another one writes
        to the same place; returns the run's id.

        Raises JobNotFound, JobIsActive, StorageFailed. A runner that cannot be started is the
        run's failure, not the command's.
        """
        async with self._lock(job_id):
            record = self._record(job_id)
            _refuse_active("start")(record)
            run = new_run(record.job, now=self._ports.clock.now())
            await self._begin(run, await self._spec_of(run, record), record)
        self._ports.sink.jobs_changed([job_id])
        return run.id

    async def start_dry_run(self, job_id: str) -> str:
        """Start a dry run, or queue it, as `start_job` does; returns its id. However it ends, the
        job is then what it was before.

        Raises JobNotFound, JobIsActive, StorageFailed.
        """
        async with self._lock(job_id):
            record = self._record(job_id)
            _refuse_active("preview")(record)
            run = new_run(record.job, now=self._ports.clock.now(), kind=RunKind.DRY_RUN)
            await self._begin(run, await self._spec_of(run, record), record)
        self._ports.sink.jobs_changed([job_id])
        return run.id

    async def retry_failed(self, run_id: str) -> str:
        """Start, or queue, a run over exactly the files that failed in an ended one; returns the
        new run's id.

        Raises RunNotFound, JobNotFound, RetryRefused, NoAnswer, StorageFailed.
        """
        failed = await self._ports.runs.get(run_id)
        async with self._lock(failed.job_id):
            record = self._record(failed.job_id)
            names = names_to_retry(failed, await self._ports.directories.files(run_id), record)
            if not is_remote(failed.source):
                await answers(self._questions, failed.source)
                await in_a_thread(partial(refuse_folders, failed, names), name="retry")
            run = retry_run(failed, record, files=len(names), now=self._ports.clock.now())
            spec = narrowed(await self._spec_of(run, record), failed)
            await self._begin(run, spec, record, only_files=listed(names, run.engine))
        self._ports.sink.jobs_changed([failed.job_id])
        return run.id

    async def _checked(self, definition: Mapping[str, Any]) -> JobDefinition:
        limits = self._limits
        return await check_definition(
            definition,
            roots=limits.allowed_roots,
            questions=self._questions,
            data_dir=limits.data_dir,
        )

    @asynccontextmanager
    async def at_rest(self, job_id: str, command: str) -> AsyncIterator[None]:
        """Hold a job at rest: no run of it begins meanwhile. One that was deleted is at rest.

        Raises JobIsActive, which names the command.
        """
        if job_id not in self._ports.jobs.snapshot():
            yield
            return
        async with self._lock(job_id):
            _refuse_active(command)(self._record(job_id))
            yield

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
                    stopping = advance(state, JobStatus.STOPPING, changed_at=now)
                    return replace(stopping, message=state.message, stop_requested=True)

                try:
                    await self._change_state(job_id, stop)
                except StorageFailed as error:
                    # The very transfer that fills the disk must still be stoppable.
                    ids = {"job_id": job_id, "run_id": run_id}
                    _logger.error("stopping %s was not kept: %s", run_id, error, extra=ids)
                    state = self._record(job_id).state
                    if state.status is JobStatus.RUNNING:
                        self._ports.jobs.publish_state(stop(state))
                self._ports.runs.publish(replace(run, status=JobStatus.STOPPING))
                await self._ports.executor.stop(run_id)
                await self._tell_stopping(run_id)
            else:
                raise NothingToStop(job_id, state.status)
        self._ports.sink.jobs_changed([job_id])

    async def discard(self, job_id: str) -> None:
        """Make a paused or interrupted job pending and remove its partial files.

        Raises JobNotFound, NothingToDiscard, OutsideRoots, NoAnswer, FileFailed, StorageFailed.
        """
        async with self._lock(job_id):
            record = self._record(job_id)
            if not record.state.is_resumable:
                raise NothingToDiscard(job_id, record.state.status)
            destination = await self._destination_of_last_run(record)
            try:
                # What a daemon keeps is its own: the next run goes on from it, or replaces it.
                if not is_remote(destination):
                    await answers(self._questions, destination)
                    await in_a_thread(
                        partial(self._remove_partial_files, destination), name="discard"
                    )
            except OSError as error:
                raise FileFailed("Removing the partial files", error) from error
            now = self._ports.clock.now()
            await self._change_state(
                job_id,
                lambda state: replace(
                    advance(state, JobStatus.PENDING, changed_at=now), progress=None
                ),
            )
        self._ports.sink.jobs_changed([job_id])

    async def update_job_from_engine(self, run_id: str, lines: Sequence[JournalLine]) -> bool:
        """Apply lines of a run's journal, and go on with a job that was cut off when the settings
        say so; True when the run is over. Raises RunNotFound, StorageFailed."""
        is_over = await super().update_job_from_engine(run_id, lines)
        if is_over:
            await self._go_on_after(run_id)
        return is_over

    async def close_dead_run(self, run_id: str) -> None:
        """End a run whose runner is gone, and go on with its job when the settings say so."""
        await super().close_dead_run(run_id)
        await self._go_on_after(run_id)

    async def _go_on_after(self, run_id: str) -> None:
        if not self._limits.resume_interrupted:
            return
        run = await self._ports.runs.get(run_id)
        if self._record(run.job_id).state.run_id == run_id:
            await self.resume_interrupted(run.job_id)

    async def resume_interrupted(self, job_id: str) -> None:
        """Start an interrupted job again, unless it was cut off too often in a row. Raises
        JobNotFound, StorageFailed."""
        note(job_id=job_id)
        if self._record(job_id).state.status is not JobStatus.INTERRUPTED:
            return
        newest = await self._ports.runs.list_runs(
            job_id=job_id, kind=RunKind.TRANSFER, limit=_MAX_RESUMED_IN_A_ROW + 1
        )
        in_a_row = list(takewhile(lambda run: run.outcome is RunOutcome.INTERRUPTED, newest.items))
        if len(in_a_row) > _MAX_RESUMED_IN_A_ROW:
            _logger.error("%s was cut off %d times in a row: it rests", job_id, len(in_a_row))
            return
        try:
            run_id = await self.start_job(job_id)
        except JobIsActive:
            return  # A person was quicker.
        _logger.info("%s goes on by itself with run %s", job_id, run_id, extra={"run_id": run_id})

    async def _withdraw(self, state: JobState, run_id: str) -> None:
        kind = RunKind.TRANSFER
        newest = await self._ports.runs.list_runs(job_id=state.job_id, kind=kind, limit=2)
        last = next((run for run in newest.items if run.id != run_id), None)
        now = self._ports.clock.now()

        def go_back(state: JobState) -> JobState:
            if state.is_dry_run:
                return end_dry_run(state)
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
        self._queue.leave(run_id)
        await self._ports.runs.remove(run_id)
        await self._ports.directories.remove(run_id)

    def _remove_partial_files(self, destination: str) -> None:
        roots = self._limits.allowed_roots
        if not is_allowed(destination, roots):
            raise OutsideRoots(destination, outside_words(roots))
        remove_all_partial_files(destination, roots)

    async def _destination_of_last_run(self, record: JobRecord) -> str:
        # The definition may have been changed since.
        try:
            return (await self._ports.runs.get(record.state.run_id or "")).destination
        except RunNotFound:
            return record.job.destination

    def _new_job_id(self, name: str) -> str:
        while True:
            job_id = f"{id_stem(name)}-{secrets.token_hex(2)}"
            if job_id not in self._ports.jobs.snapshot():
                return job_id


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
