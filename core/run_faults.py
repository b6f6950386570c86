"""Ended runs as events of the error log: that one failed or was cut off, until its job succeeds.

One event for each fault: a missing tool and a runner that could not be started have events of their
own, and the runs that fail by them have none beside.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable

from core.missing_tools import MissingTools
from core.open_events import left_open
from core.ports import ErrorLog, Executor, JobStore, RunStore
from core.untold_failures import (
    RUN_FAILED,
    RUN_INTERRUPTED,
    START_FAILED,
    is_good_since,
    untold_failures,
)
from models.error_event import Component, Fault, Severity
from models.errors import RunnerStartFailed, StorageFailed
from models.events import RunProcesses
from models.progress import RunOutcome
from models.run import Run
from models.run_spec import RunKind
from utils.timestamps import utc_timestamp

OF_RUNS = frozenset({RUN_FAILED, RUN_INTERRUPTED})
"""Events that say again what the history of runs says: who tells of both tells of one."""
_COMPONENTS = (Component.ENGINE, Component.JOB_MANAGER, Component.EXECUTOR)
_MOST_WAITING = 1_000
_MOST_NOT_STARTED = 100
_RETRY_SECONDS = 5.0
_DAY_SECONDS = 24 * 60 * 60
_logger = logging.getLogger(__name__)


class RunFaults:
    """Tells the error log how runs end. `run` is its loop; `run_over` is called with ended runs.

    What nobody called it with, because the dashboard was killed in between, it finds out when it
    begins.
    """

    def __init__(
        self, error_log: ErrorLog, jobs: JobStore, runs: RunStore, tools: MissingTools
    ) -> None:
        self._error_log = error_log
        self._jobs = jobs
        self._runs = runs
        self._tools = tools
        self._ended: deque[Run] = deque()
        self._has_missed_some = True
        """Whether there may be ends that it was not called with, or had no room for."""
        self._wake = asyncio.Event()
        self._told: set[str] = set()
        """The jobs of which there may be an unresolved event."""
        self._not_started: deque[str] = deque(maxlen=_MOST_NOT_STARTED)
        self._cannot_start = False

    def run_over(self, run: Run) -> None:
        """A run has ended; returns at once."""
        if run.kind != RunKind.TRANSFER:
            return
        if len(self._ended) >= _MOST_WAITING:
            self._ended.popleft()
            self._has_missed_some = True
        self._ended.append(run)
        self._wake.set()

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Of jobs that are gone nothing is left to be mended; returns at once."""
        if self._told:
            jobs = self._jobs.snapshot()
            for job_id in job_ids:
                if job_id in self._told and job_id not in jobs:
                    self._settle(job_id)

    def start_failed(self, error: RunnerStartFailed) -> None:
        """A runner could not be started."""
        self._not_started.append(error.run_id)
        self._cannot_start = True
        self._error_log.report(
            Fault(
                severity=Severity.HIGH,
                component=Component.EXECUTOR,
                error_type=START_FAILED,
                message=f"A runner could not be started: {error.reason}. The next one that starts "
                "settles this.",
                run_id=error.run_id,
            )
        )

    def started(self) -> None:
        """A runner was started."""
        if self._cannot_start:
            self._cannot_start = False
            self._error_log.settle(error_type=START_FAILED, job_id=None)

    async def run(self) -> None:
        """Tell of ended runs until cancelled."""
        while True:
            if self._has_missed_some:
                await self._catch_up()
            while self._ended:
                await self._tell(self._ended.popleft())
            if not self._has_missed_some:
                await self._wake.wait()
                self._wake.clear()

    async def _catch_up(self) -> None:
        """Bring the error log in line with what the jobs are."""
        await self._error_log.flush()
        left = await left_open(self._error_log, _COMPONENTS, (*OF_RUNS, START_FAILED))
        jobs = self._jobs.snapshot()
        for event in left:
            if event.error_type == START_FAILED:
                self._cannot_start = True
            elif event.job_id is not None:
                self._told.add(event.job_id)
        for event in left:
            if event.job_id in self._told:
                record = jobs.get(event.job_id)
                if record is None or is_good_since(record, event):
                    self._settle(event.job_id)
        self._has_missed_some = False
        for run in await self._untold({event.run_id or "" for event in left}):
            await self._tell(run)

    async def _untold(self, told: set[str]) -> list[Run]:
        while True:
            # What a person has dismissed is not told again: so long the log remembers that.
            since = utc_timestamp(time.time() - self._error_log.kept.resolved_days * _DAY_SECONDS)
            known = told | {run.id for run in self._ended}
            try:
                return await untold_failures(
                    self._error_log, self._jobs, self._runs, known=known, since=since
                )
            except StorageFailed as error:
                _logger.warning("whether all failed runs were told is not known yet: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _tell(self, run: Run) -> None:
        if run.is_success:
            if run.job_id in self._told:
                self._settle(run.job_id)
            return
        if run.outcome not in {RunOutcome.FAILED, RunOutcome.INTERRUPTED}:
            return
        if run.id in self._not_started:
            return
        if run.outcome is RunOutcome.FAILED and await self._tools.is_missing(run.engine):
            return
        self._told.add(run.job_id)
        self._error_log.report(_fault(run))

    def _settle(self, job_id: str) -> None:
        self._told.discard(job_id)
        for error_type in OF_RUNS:
            self._error_log.settle(error_type=error_type, job_id=job_id)


class ToldExecutor:
    """An executor whose failures to start a runner are told."""

    def __init__(self, executor: Executor, faults: RunFaults) -> None:
        self._executor = executor
        self._faults = faults

    async def submit(self, run_id: str, secret: str | None = None) -> None:
        """Start the runner of a prepared run. Raises RunnerStartFailed."""
        try:
            await self._executor.submit(run_id, secret)
        except RunnerStartFailed as error:
            self._faults.start_failed(error)
            raise
        self._faults.started()

    async def stop(self, run_id: str) -> bool:
        """Ask the runner to stop; False when it is not alive."""
        return await self._executor.stop(run_id)

    async def runner_lives(self, run_id: str, processes: RunProcesses) -> bool:
        """Whether the runner of a run lives, whose lock somebody holds."""
        return await self._executor.runner_lives(run_id, processes)

    async def end(self, run_id: str, processes: RunProcesses, *, kill: bool) -> None:
        """Signal all that lives of a run whose runner is gone."""
        await self._executor.end(run_id, processes, kill=kill)


def _fault(run: Run) -> Fault:
    is_cut_off = run.outcome is RunOutcome.INTERRUPTED
    component = Component.ENGINE if run.attempts else Component.JOB_MANAGER
    what = "was interrupted" if is_cut_off else "failed"
    return Fault(
        severity=Severity.MEDIUM,
        component=Component.EXECUTOR if is_cut_off else component,
        error_type=RUN_INTERRUPTED if is_cut_off else RUN_FAILED,
        message=f"“{run.job_name}” {what}: {run.message}" if run.message else f"It {what}.",
        details={"attempts": run.attempts, "exit_code": run.exit_code, "engine": run.engine},
        job_id=run.job_id,
        job_name=run.job_name,
        run_id=run.id,
    )
