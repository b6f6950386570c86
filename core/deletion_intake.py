"""Takes over what runs have left on record of their deletions, beside everything else.

A long record must hold up neither the end of its run nor what other runs tell meanwhile.
"""

from __future__ import annotations

import asyncio
import logging

from core.ports import DeletionLog, ErrorLog, EventSink
from models.deleted_sources import DeletingRun
from models.error_event import Component, Fault, Severity

RETRY_SECONDS = 60.0
_NOT_TAKEN = "DeletionsNotTaken"
_logger = logging.getLogger(__name__)


class DeletionIntake:
    """The runs whose records are yet to be taken over. `run` is its loop; one at a time."""

    def __init__(self, deletions: DeletionLog, sink: EventSink) -> None:
        self._deletions = deletions
        self._sink = sink
        self._waiting: dict[str, DeletingRun] = {}
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    def add(self, run: DeletingRun) -> None:
        """Take over what a run has left, in its turn."""
        self._waiting[run.run_id] = run
        self._wake.set()

    async def settle(self, run_id: str) -> None:
        """Return when nothing of a run is left to take over. Raises StorageFailed."""
        if run_id not in self._waiting:
            return  # Nor does it wait for another one.
        async with self._turn:
            run = self._waiting.get(run_id)
            if run is None:
                return
            await self._deletions.take(run)
            # It may have been told of once more meanwhile, and that is the same.
            self._waiting.pop(run_id, None)
        self._sink.jobs_changed([run.job_id])

    async def run(self, error_log: ErrorLog) -> None:
        """Take over until cancelled; what fails is told, and tried again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for run_id in tuple(self._waiting):
                try:
                    await self.settle(run_id)
                except Exception as error:
                    # The loop's boundary: one record that cannot be read holds up no other.
                    ids = {"run_id": run_id}
                    _logger.exception("the record of %s was not taken over", run_id, extra=ids)
                    error_log.report(_fault(run_id, error))
            if self._waiting:
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)
            else:
                error_log.settle(error_type=_NOT_TAKEN, job_id=None)


def _fault(run_id: str, error: Exception) -> Fault:
    return Fault(
        severity=Severity.HIGH,
        component=Component.JOB_MANAGER,
        error_type=_NOT_TAKEN,
        message=f"What run {run_id} deleted is not on record yet ({type(error).__name__}: "
        f"{error}). It is in the run's directory, and tried again every minute.",
        run_id=run_id,
    )
