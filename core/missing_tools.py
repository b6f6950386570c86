"""Tools that jobs need and this machine does not have: one event for each, until it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from core.engines.base import Engine
from core.open_events import left_open
from core.ports import ErrorLog, JobStore, ToolFinder
from models.error_event import Component, Fault, Severity

TOOL_MISSING = "ToolMissing"
AGAIN_SECONDS = 2.0
"""How often is looked for what is missing. Nothing is looked for while nothing is."""


class MissingTools:
    """Looks for tools when the server starts and when a run has failed. `run` is its loop."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        tools: ToolFinder,
        jobs: JobStore,
        error_log: ErrorLog,
    ) -> None:
        self._engines = engines
        self._tools = tools
        self._jobs = jobs
        self._error_log = error_log
        self._missing: set[str] = set()
        self._wake = asyncio.Event()

    async def is_missing(self, engine: str) -> bool:
        """Look whether an engine's tool is missing, and tell it."""
        if engine not in self._engines:
            return False
        path = await asyncio.to_thread(self._tools.path_of, engine)
        if path is None:
            self._missing.add(engine)
            self._wake.set()
            self._error_log.report(self._fault(engine))
        elif engine in self._missing:
            self._settle(engine)
        return path is None

    async def run(self) -> None:
        """Look at the start for what jobs need, and then for what is missing, until cancelled."""
        types = {self._type_of(engine): engine for engine in self._engines}
        for event in await left_open(self._error_log, (Component.ENGINE,), (TOOL_MISSING,)):
            if event.error_type in types:
                self._missing.add(types[event.error_type])
        told = frozenset(self._missing)
        for engine in self._used():
            if engine not in told:
                await self.is_missing(engine)
        while True:
            if self._missing:
                await self._look_again()
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                await self._wake.wait()
                self._wake.clear()

    async def _look_again(self) -> None:
        used = self._used()
        for engine in tuple(self._missing):
            path = await asyncio.to_thread(self._tools.path_of, engine)
            if path is not None or engine not in used:
                self._settle(engine)

    def _used(self) -> set[str]:
        return {record.job.engine for record in self._jobs.snapshot().values()}

    def _settle(self, engine: str) -> None:
        self._missing.discard(engine)
        self._error_log.settle(error_type=self._type_of(engine), job_id=None)

    def _type_of(self, engine: str) -> str:
        return f"{TOOL_MISSING}: {engine}"

    def _fault(self, engine: str) -> Fault:
        found = self._engines[engine]
        return Fault(
            severity=Severity.HIGH,
            component=Component.ENGINE,
            error_type=self._type_of(engine),
            message=f"{found.command} is not installed: no job with the engine {engine} can run. "
            f"{found.install_hint}",
        )
