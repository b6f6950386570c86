"""Where runs begin and end: their places in the queue, their start, and how their end is kept.

One event loop owns the state; each job has one lock (architecture.md, decision 2).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from core.allowed_roots import Roots
from core.credentials import secret_for
from core.deleted_sources import deleting_run
from core.deletion_intake import DeletionIntake
from core.destinations import Destinations
from core.error_recovery import RetryPolicy
from core.failed_files import job_end
from core.new_run import RunLimits, new_run
from core.ports import Ports
from core.questions import Questions
from core.recovery_states import OnChange
from core.run_queue import Place, RunQueue, Wait
from models.errors import (
    CredentialUnusable,
    JobNotFound,
    RunnerStartFailed,
    RunNotFound,
    StorageBusy,
    StorageFailed,
)
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run import Run
from models.run_history import close_run
from models.run_spec import RunKind
from models.transitions import advance, end_dry_run
from utils.log_context import about

KEEPING_END = "end of a run"
_KEEPING = RetryPolicy(attempts=3, first_delay_seconds=0.5, max_delay_seconds=2.0)
"""For an end that another program's hold on the database keeps from being written: each attempt
waits for it by itself. Whoever was given up on is ended anew by the monitor, every second."""
_logger = logging.getLogger(__name__)


class RunLauncher:
    """Starts what may start, and gives the place of what has ended to the next."""

    def __init__(
        self,
        ports: Ports,
        limits: RunLimits,
        *,
        on_recovery: OnChange | None = None,
        questions: Questions | None = None,
    ) -> None:
        """`on_recovery` is told when the end of a run has to be kept in several attempts; local
        paths are looked at by `questions`."""
        self._ports = ports
        self._on_recovery = on_recovery
        self._launching = asyncio.Lock()
        self._limits = limits
        self._locks: dict[str, asyncio.Lock] = {}
        self._queue = RunQueue(limits.max_concurrent_runs)
        self._questions = questions or Questions()
        self._destinations = Destinations(self._questions)
        self.intake = DeletionIntake(ports.deletions, ports.sink)

    async def use_limits(self, limits: RunLimits) -> None:
        """Go by other limits from now on: what waits starts at once when there is room for it, and
        what is under way goes on as it began. Raises StorageFailed; the limits hold all the same.
        """
        self._limits = limits
        self._queue.limit = limits.max_concurrent_runs
        await self.launch_queued()

    @property
    def allowed_roots(self) -> Roots:
        """The allowed folders as they are now."""
        return self._limits.allowed_roots

    def has_waiting(self) -> bool:
        """Whether a run is queued."""
        return self._queue.has_waiting

    def let_go(self, run_id: str) -> None:
        """Give a run's place back that no job knows any more."""
        self._queue.leave(run_id)

    async def wait_again(self, job_ids: Iterable[str]) -> None:
        """Give the queued runs of an earlier dashboard their places, by age."""
        runs = {run.id: run for run in [await self.restore_run(job_id) for job_id in job_ids]}
        for run_id in await self._ports.runs.oldest_first(runs):
            await self._arrive(runs[run_id])

    async def forget_never_begun(self) -> None:
        """Remove the runs without an end that no job names: an earlier dashboard was killed while
        it started or withdrew them. Raises StorageFailed."""
        records = self._ports.jobs.snapshot().values()
        named = {record.state.run_id for record in records if record.state.is_active}
        for run_id in await self._ports.runs.unfinished():
            if run_id not in named and not await self._ports.directories.is_held(run_id):
                # A run whose job went away meanwhile may have deleted something all the same.
                run = await self._ports.runs.get(run_id)
                await self._keep_deletions(run, self._ports.clock.now())
                await self.intake.settle(run_id)
                await self._ports.runs.remove(run_id)
                await self._ports.directories.remove(run_id)

    async def find_deletions(self) -> None:
        """Have taken over what ended runs have left and an earlier dashboard did not come to.
        Raises StorageFailed."""
        for run_id in await self._ports.deletions.untaken():
            try:
                run = await self._ports.runs.get(run_id)
            except RunNotFound:
                continue
            if run.ended_at is not None:
                await self._keep_deletions(run, run.ended_at)

    async def launch_queued(self) -> None:
        """Start queued runs, the oldest first, while there is room, and say of the others why they
        wait. Raises StorageFailed."""
        # One after another: of two that take the same place, the second would give it back.
        async with self._launching:
            while (place := self._queue.next_ready()) is not None:
                with about(job_id=place.job_id, run_id=place.run_id):
                    await self._launch(place)
        for place in self._queue.waiting:
            self._tell_why(place)

    async def restore_run(self, job_id: str) -> Run:
        """Return the run that a job's state names, made anew when the history lost it."""
        record = self._record(job_id)
        run_id = record.state.run_id
        assert run_id is not None
        try:
            return await self._ports.runs.get(run_id)
        except RunNotFound:
            kind = RunKind.DRY_RUN if record.state.is_dry_run else RunKind.TRANSFER
            run = new_run(record.job, now=self._ports.clock.now(), kind=kind)
            run = replace(run, id=run_id, status=record.state.status)
            await self._ports.runs.add(run)
            return run

    async def _launch(self, place: Place) -> None:
        try:
            lock = self._lock(place.job_id)
        except JobNotFound:
            self._queue.leave(place.run_id)
            return
        async with lock:
            record = self._ports.jobs.snapshot().get(place.job_id)
            if record is None or (record.state.run_id, record.state.status) != (
                place.run_id,
                JobStatus.QUEUED,
            ):
                self._queue.leave(place.run_id)
                return
            if self._queue.wait_of(place.run_id) is not None:
                return  # Another start took the place while this one waited for the lock.
            self._queue.enter(place.run_id)
            try:
                run = await self.restore_run(place.job_id)
                # They may have been others when it was put into the queue.
                await self._ports.directories.confine(run.id, self._limits.allowed_roots)
                now = self._ports.clock.now()
                await self._change_state(
                    place.job_id, lambda state: advance(state, JobStatus.RUNNING, changed_at=now)
                )
            except BaseException:
                self._queue.go_back(place.run_id)
                shown = self._ports.jobs.snapshot().get(place.job_id)
                if shown is not None and shown.state.status is JobStatus.RUNNING:
                    # Kept after all: the monitor finds it dead and ends it.
                    self._ports.sink.run_started(place.run_id)
                raise
            await self._submit(replace(run, status=JobStatus.RUNNING, message=None))
        self._ports.sink.jobs_changed([place.job_id])

    async def _arrive(self, run: Run) -> None:
        destination = await self._destinations.key_of(run.destination)
        self._queue.arrive(Place(run.id, run.job_id, destination))

    def _tell_why(self, place: Place) -> None:
        """Show why a run waits, when that is not what is shown already."""
        wait = self._queue.wait_of(place.run_id)
        record = self._ports.jobs.snapshot().get(place.job_id)
        if wait is None or record is None or record.state.run_id != place.run_id:
            return
        message = self._told(wait)
        if message != record.state.message and record.state.status is JobStatus.QUEUED:
            self._ports.jobs.publish_state(replace(record.state, message=message))
            self._ports.sink.jobs_changed([place.job_id])

    def _told(self, wait: Wait) -> str:
        if wait.other_job_id is None:
            most = self._limits.max_concurrent_runs
            runs = "run" if most == 1 else "runs"
            return f"Waits for another run to end: at most {most} {runs} at once."
        other = self._ports.jobs.snapshot().get(wait.other_job_id)
        name = other.job.name if other else wait.other_job_id
        return f"Waits until “{name}” has ended, which writes to the same place."

    async def _submit(self, run: Run) -> None:
        self._ports.runs.publish(run)
        try:
            await self._ports.executor.submit(run.id, await self._secret_of(run))
        except (CredentialUnusable, RunnerStartFailed) as error:
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

    async def _secret_of(self, run: Run) -> str | None:
        record = self._ports.jobs.snapshot().get(run.job_id)
        if record is None or record.job.options.credential is None:
            return None
        spec = await self._ports.directories.spec(run.id)
        return None if spec is None else await secret_for(self._ports.credentials, record.job, spec)

    async def _finish(self, run: Run) -> None:
        # In two steps: the final progress and the outcome are durable in the history before the
        # status is. If the machine stops in between, recovery finds the ended run and does the
        # second step.
        assert run.outcome is not None
        assert run.ended_at is not None
        # Saving it again changes nothing: what an attempt kept after all is not there twice.
        await _KEEPING.call(
            lambda: self._ports.runs.save(run),
            retry_on=StorageBusy,
            name=KEEPING_END,
            on_change=self._on_recovery,
        )
        await self._keep_deletions(run, run.ended_at)
        left, ended_at = job_end(run, run.outcome), run.ended_at

        def end(state: JobState) -> JobState:
            if state.is_dry_run:
                return end_dry_run(state)
            ended = advance(state, left.status, changed_at=ended_at, message=left.message)
            if left.is_good:
                ended = replace(ended, last_good_at=ended_at)
            return replace(ended, progress=run.progress)

        await self._change_state(run.job_id, end)
        self._queue.leave(run.id)
        await self._prune(run.job_id, keep=self._limits.kept_runs_per_job)

    async def _keep_deletions(self, run: Run, ended_at: str) -> None:
        if run.kind == RunKind.DRY_RUN:
            return
        spec = await self._ports.directories.spec(run.id)
        if spec is None or spec.source_deletion is not None:
            self.intake.add(deleting_run(run, spec, ended_at=ended_at))

    async def _prune(self, job_id: str, *, keep: int) -> None:
        try:
            old = await self._ports.runs.prune(job_id, keep=keep)
        except StorageFailed as error:
            # Tidying: the next run's end tries again.
            _logger.error("old runs of %s are kept: %s", job_id, error, extra={"job_id": job_id})
            return
        for run_id in old:
            await self._remove_directory(run_id)

    async def _remove_directory(self, run_id: str) -> None:
        try:
            await self.intake.settle(run_id)
        except StorageFailed as error:
            # It is all that tells what the run deleted.
            _logger.error(
                "the directory of %s is kept: %s", run_id, error, extra={"run_id": run_id}
            )
            return
        await self._ports.directories.remove(run_id)

    async def _tell_stopping(self, run_id: str) -> None:
        """Have it seen to that a run ends in time: within the grace that it began with, which the
        settings may have changed since."""
        spec = await self._ports.directories.spec(run_id)
        grace = (spec or self._limits).stop_grace_seconds
        self._ports.sink.run_stopping(run_id, grace_seconds=grace)

    async def _change_state(self, job_id: str, change: Callable[[JobState], JobState]) -> None:
        await self._ports.jobs.transform(
            job_id, lambda record: replace(record, state=change(record.state))
        )

    def _record(self, job_id: str) -> JobRecord:
        try:
            return self._ports.jobs.snapshot()[job_id]
        except KeyError:
            raise JobNotFound(job_id) from None

    def _lock(self, job_id: str) -> asyncio.Lock:
        self._record(job_id)
        return self._locks.setdefault(job_id, asyncio.Lock())
