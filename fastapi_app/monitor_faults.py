"""Failing steps of the monitor, and damaged journals, as events of the error log."""

from __future__ import annotations

import logging
import traceback

from core.ports import ErrorLog
from models.error_event import Component, Fault, Severity

MONITOR_FAILED = "MonitorStepFailed"
LOOKING, LAUNCHING = "Looking after the runs", "Starting the runs that wait"
_logger = logging.getLogger(__name__)


class MonitorFaults:
    """Tells the error log of steps that fail, and when none of them does any more. A step is that
    of a run, by its id, or one of those for all, by what it does."""

    def __init__(self, error_log: ErrorLog) -> None:
        self._error_log = error_log
        self._failing: set[str] = set()
        self.failed_steps = 0

    def begin(self) -> None:
        """Resolve what was told before the loop began: what lasts is told again within a second."""
        self._failing.clear()
        self._error_log.settle(error_type=MONITOR_FAILED, job_id=None)

    def is_failing(self, key: str) -> bool:
        """Whether this step failed when it was last tried."""
        return key in self._failing

    def succeeded(self, key: str) -> None:
        """Take note that a step works; with the last one that failed what was told is over."""
        if key in self._failing:
            self._failing.remove(key)
            if not self._failing:
                self._error_log.settle(error_type=MONITOR_FAILED, job_id=None)

    def failed(self, run_id: str | None, error: Exception, *, what: str = LOOKING) -> None:
        """A step failed; returns at once. Without a run, `what` is the step."""
        self._failing.add(run_id or what)
        self.failed_steps += 1
        what = f"Following the run {run_id}" if run_id else what
        _logger.error("%s failed", what, exc_info=error)
        self._error_log.report(
            Fault(
                severity=Severity.HIGH,
                component=Component.BACKGROUND_MONITOR,
                error_type=MONITOR_FAILED,
                message=f"{what} failed ({type(error).__name__}: {error}). It is tried again every "
                "second.",
                run_id=run_id,
                stack_trace="".join(traceback.format_exception(error)),
            )
        )

    def journal_damaged(self, run_id: str, count: int) -> None:
        """So many lines of a run's journal could not be read."""
        lines = "a line" if count == 1 else f"{count} lines"
        self._error_log.report(
            Fault(
                severity=Severity.MEDIUM,
                component=Component.BACKGROUND_MONITOR,
                error_type="JournalDamaged",
                message=f"The journal of run {run_id} has {lines} that cannot be read. The run "
                "goes on; what stood there is not shown.",
                run_id=run_id,
            )
        )
