"""All who tell the error log of faults that no component reports by itself, put together."""

from __future__ import annotations

from core.engines.registry import ENGINES
from core.missing_tools import MissingTools
from core.ports import ErrorLog, JobStore, RunStore, ToolFinder
from core.run_faults import RunFaults
from fastapi_app.live_faults import LiveFaults
from fastapi_app.route_faults import RouteFaults
from fastapi_app.storage_watch import StorageWatch
from fastapi_app.task_keeper import KeptWork, TaskKeeper
from models.error_event import Component


class FaultWatch:
    """The watches of one application."""

    def __init__(
        self,
        error_log: ErrorLog,
        jobs: JobStore,
        runs: RunStore,
        tools: ToolFinder,
        storage: StorageWatch,
    ) -> None:
        self.storage = storage
        self.tools = MissingTools(ENGINES, tools, jobs, error_log)
        self.runs = RunFaults(error_log, jobs, runs, self.tools)
        self.routes = RouteFaults(error_log, jobs)
        self.live = LiveFaults(error_log)
        self.tasks = TaskKeeper(error_log)

    def works(self) -> tuple[KeptWork, ...]:
        """Return the tasks of the watches: what is to be kept running."""
        return (
            KeptWork("storage-watch", Component.STORAGE, self.storage.run),
            KeptWork("missing-tools", Component.ENGINE, self.tools.run),
            KeptWork("run-faults", Component.JOB_MANAGER, self.runs.run),
        )

    async def find_told(self) -> None:
        """Take over, or settle, what an earlier dashboard has told."""
        self.live.begin()
        await self.routes.find_told()
