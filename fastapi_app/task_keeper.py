"""Keeps the tasks of the background alive: one that ends by itself is told and begun anew."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeAlias

from core.ports import ErrorLog
from models.error_event import Component, Fault, Severity

TASK_ENDED = "TaskEnded"
STEADY_SECONDS = 10.0
"""After so long a task that was begun anew is taken for well again."""
_DELAYS_SECONDS = (0.5, 2.0, 10.0, 60.0)
Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
_logger = logging.getLogger(__name__)


class KeptWork(NamedTuple):
    """Work that has no end: its name, and whose fault it is when it does end."""

    name: str
    component: Component
    work: Work


class TaskKeeper:
    """Runs work that has no end, again and again should it end."""

    def __init__(self, error_log: ErrorLog) -> None:
        self._error_log = error_log

    async def keep(self, name: str, component: Component, work: Work) -> None:
        """Do work until cancelled."""
        clock = asyncio.get_running_loop().time
        error_type = f"{TASK_ENDED}: {name}"
        self._error_log.settle(error_type=error_type, job_id=None)
        failures = 0
        while True:
            began = clock()
            failure = await self._once(name, work, error_type if failures else None)
            failures = 1 if clock() - began > STEADY_SECONDS else failures + 1
            delay = _DELAYS_SECONDS[min(failures, len(_DELAYS_SECONDS)) - 1]
            _logger.error("the task %s ended and begins anew", name, exc_info=failure)
            self._error_log.report(_fault(name, component, error_type, failure))
            await asyncio.sleep(delay)

    async def _once(self, name: str, work: Work, error_type: str | None) -> BaseException | None:
        """Do work until it ends; returns why it did. With a type, its event is settled once the
        work goes on for long enough."""
        task = asyncio.create_task(work(), name=name)
        try:
            if error_type is not None:
                await asyncio.wait({task}, timeout=STEADY_SECONDS)
                if not task.done():
                    self._error_log.settle(error_type=error_type, job_id=None)
            await asyncio.wait({task})
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return None if task.cancelled() else task.exception()


def _fault(
    name: str, component: Component, error_type: str, failure: BaseException | None
) -> Fault:
    why = type(failure).__name__ if failure is not None else "it was cancelled"
    trace = "".join(traceback.format_exception(failure)) if failure is not None else None
    return Fault(
        severity=Severity.HIGH,
        component=component,
        error_type=error_type,
        message=f"The background task “{name}” ended ({why}). It begins anew by itself.",
        details={"error": str(failure)} if failure is not None else {},
        stack_trace=trace,
    )
