"""What becomes of runs under way: what their journals tell, and what is done when they died."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from core.interruptions import NOT_OURS, of_dry_run, why_interrupted
from core.run_launcher import RunLauncher
from models.errors import RunNotFound
from models.events import JournalLine
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run_history import apply_lines, close_run
from models.run_spec import STOPPED_DRY_RUN
from models.transitions import advance
from utils.log_context import note
from utils.timestamps import utc_timestamp

_STOPPED = "Stopped. It can be resumed."


class RunKeeper(RunLauncher):
    """Follows runs to their end, in whichever way it comes."""

    async def update_job_from_engine(self, run_id: str, lines: Sequence[JournalLine]) -> bool:
        """Apply lines of a run's journal to run and job; True when the run is over.

        Raises RunNotFound, StorageFailed.
        """
        run = await self._ports.runs.get(run_id)
        note(job_id=run.job_id, run_id=run_id)
        async with self._lock(run.job_id):
            state = self._record(run.job_id).state
            if run.is_over and not (state.run_id == run_id and state.is_active):
                # Its end was kept after all, though the disk had not confirmed it.
                self._queue.leave(run_id)
                return True
            if state.run_id != run_id:
                raise RunNotFound(run_id)
            if not run.is_over:
                run = apply_lines(replace(run, status=state.status), lines)
            if run.outcome is RunOutcome.PAUSED and not state.stop_requested:
                # Whoever sent the runner SIGTERM, as a machine that shuts down does: no person
                # wants the job to rest.
                assert run.ended_at is not None
                reason = of_dry_run(NOT_OURS) if state.is_dry_run else NOT_OURS
                run = close_run(run, RunOutcome.INTERRUPTED, ended_at=run.ended_at, message=reason)
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
        """End a run whose runner is gone: by its result if it left one, else as interrupted, or as
        paused when a person had asked it to stop."""
        run = await self._ports.runs.get(run_id)
        if run.is_over:
            await self.update_job_from_engine(run_id, [])
            return
        result = await self._ports.directories.result(run_id)
        if result is not None and await self.update_job_from_engine(run_id, [result]):
            return
        reason = why_interrupted((await self._ports.directories.processes(run_id)).runner)
        async with self._lock(run.job_id):
            state = self._record(run.job_id).state
            if state.run_id == run_id and state.is_active:
                run = await self._ports.runs.get(run_id)
                now = self._ports.clock.now()
                is_wanted = state.stop_requested
                outcome = RunOutcome.PAUSED if is_wanted else RunOutcome.INTERRUPTED
                message = _STOPPED if is_wanted else reason
                if state.is_dry_run:
                    message = STOPPED_DRY_RUN if is_wanted else of_dry_run(reason)
                await self._finish(close_run(run, outcome, ended_at=now, message=message))
        self._ports.sink.jobs_changed([run.job_id])
        await self.launch_queued()

    async def stop_orphan(self, run_id: str) -> None:
        """Show a run as stopping whose runner is gone while its engine process lives.

        Nobody reads that process's output or ends it in time: it is stopped, and the job becomes
        interrupted once it is gone. Raises RunNotFound, StorageFailed.
        """
        run = await self._ports.runs.get(run_id)
        async with self._lock(run.job_id):
            state = self._record(run.job_id).state
            if state.run_id != run_id or state.status is not JobStatus.RUNNING:
                return
            now = self._ports.clock.now()
            message = "Its runner went away: what it had started is being stopped."
            await self._change_state(
                run.job_id,
                lambda state: advance(state, JobStatus.STOPPING, changed_at=now, message=message),
            )
            self._ports.runs.publish(replace(run, status=JobStatus.STOPPING, message=message))
        self._ports.sink.jobs_changed([run.job_id])

    async def adopt(self, run_id: str) -> None:
        """Take a run that lives into account: it occupies a place and is followed.

        A run that was to stop is told so again: the server may have ended before it said it.
        """
        run = await self._ports.runs.get(run_id)
        await self._arrive(run)
        self._queue.enter(run_id)
        self._ports.sink.run_started(run_id)
        if self._record(run.job_id).state.status is JobStatus.STOPPING:
            await self._ports.executor.stop(run_id)
            await self._tell_stopping(run_id)

    async def cleanup_stopped_engines(self) -> int:
        """Forget runs that are too many or too old, and what is left of others; returns how many.

        How many and how old, the settings say; of each job the newest run stays. Raises
        StorageFailed.
        """
        now = datetime.fromisoformat(self._ports.clock.now())
        oldest = utc_timestamp((now - timedelta(days=self._limits.kept_run_days)).timestamp())
        old = await self._ports.runs.prune(
            None, keep=self._limits.kept_runs_per_job, ended_before=oldest
        )
        # By age alone: were the history lost, not all that it told of may go with it.
        there = await self._ports.directories.settled(self._limits.kept_run_days)
        unknown = there - await self._ports.runs.known(there)
        gone = {*old, *unknown}
        for run_id in gone:
            await self._remove_directory(run_id)
        await self._ports.deletions.prune(self._ports.clock.now())
        return len(gone)
