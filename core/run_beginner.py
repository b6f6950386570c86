"""What a new run needs before its runner begins: its spec, its place in the queue, its record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from core.credentials import user_for
from core.new_run import begun, spec_of
from core.run_keeper import RunKeeper
from models.errors import StorageFailed
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.run import Run
from models.run_spec import RunSpec
from utils.log_context import note

_logger = logging.getLogger(__name__)


class RunBeginner(RunKeeper):
    """Keeps a new run and lets it begin, at once or in its turn."""

    async def _spec_of(self, run: Run, record: JobRecord) -> RunSpec:
        tools, job = self._ports.tools, record.job
        return spec_of(
            run,
            record,
            tool_path=tools.path_of(job.engine),
            tool_version=await tools.version_of(job.engine),
            daemon_user=await user_for(self._ports.credentials, job),
            limits=self._limits,
        )

    async def _begin(
        self, run: Run, spec: RunSpec, record: JobRecord, *, only_files: Sequence[str] = ()
    ) -> None:
        """Keep a new run and start it, or let it wait; the caller holds the job's lock."""
        note(job_id=run.job_id, run_id=run.id)
        await self._arrive(run)
        wait = self._queue.wait_of(run.id)
        if wait is None:
            self._queue.enter(run.id)
            run = replace(run, status=JobStatus.RUNNING)
        else:
            run = replace(run, message=self._told(wait))
        try:
            await self._keep_new_run(run, spec, record, only_files)
        except BaseException:
            self._queue.leave(run.id)
            # Should the state name the run all the same, the monitor finds it dead and ends it.
            self._ports.sink.run_started(run.id)
            raise
        if wait is None:
            await self._submit(run)

    async def _keep_new_run(
        self, run: Run, spec: RunSpec, record: JobRecord, only_files: Sequence[str]
    ) -> None:
        # The totals of a run over some files say nothing to the next one over all.
        version = None if run.only_failed_of else record.job.version

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
            self._ports.directories.prepare(spec, only_files=only_files),
            self._ports.runs.add(run),
            self._change_state(run.job_id, lambda state: begun(state, run, version)),
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
            ids = {"job_id": run.job_id, "run_id": run.id}
            _logger.error("run %s is left in the history: %s", run.id, error, extra=ids)
        raise failures[0]
