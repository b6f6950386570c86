"""The local executor: starts runners on this machine and reaches them by their identity."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from core.credentials import environment_with
from core.ports import RunDirectories
from models.errors import RunnerStartFailed
from models.events import RunProcesses
from utils.process_identity import ProcessIdentity, is_alive, send_signal
from utils.process_search import started_by_run

PROJECT_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 15.0
_IDENTITY_SECONDS = 3.0
_MAX_COMPLAINT = 2000


class LocalExecutor:
    """Runners as processes of their own session; none of them is a child of the dashboard."""

    def __init__(self, directories: RunDirectories, path_of: Callable[[str], Path]) -> None:
        self._directories = directories
        self._path_of = path_of

    async def submit(self, run_id: str, secret: str | None = None) -> None:
        """Start the runner of a prepared run; returns once it holds its lock.

        A secret stands in the runner's environment alone: everybody sees arguments. Raises
        RunnerStartFailed with what the runner said.
        """
        directory = self._path_of(run_id).resolve()
        # -S, -E, -s: no site packages and nothing from the environment: quicker and smaller.
        argv = [sys.executable, "-S", "-E", "-s", "-m", "core.runner", str(directory)]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=PROJECT_ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                env=environment_with(os.environ, secret),
            )
        except OSError as error:
            raise RunnerStartFailed(run_id, error.strerror or str(error)) from error
        try:
            async with asyncio.timeout(_START_SECONDS):
                _, complaint = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise RunnerStartFailed(run_id, f"no answer in {_START_SECONDS:.0f} s") from None
        if process.returncode:
            text = complaint[-_MAX_COMPLAINT:].decode("utf-8", errors="replace").strip()
            raise RunnerStartFailed(run_id, text or f"exit code {process.returncode}")

    async def stop(self, run_id: str) -> bool:
        """Ask the runner to stop with SIGTERM; False when it is not alive."""
        runner = await self._runner(run_id)
        return runner is not None and send_signal(runner, signal.SIGTERM)

    async def runner_lives(self, run_id: str, processes: RunProcesses) -> bool:
        """Whether the runner of a run lives, whose lock somebody holds.

        Its journal says who it is; when it does not, the one process that holds the lock without
        having been started by the run is taken for it.
        """
        if processes.runner is not None:
            return is_alive(processes.runner)
        return bool(await asyncio.to_thread(self._runners_of, run_id))

    async def end(self, run_id: str, processes: RunProcesses, *, kill: bool) -> None:
        """Signal all that lives of a run whose runner is gone: what its journal names, what has its
        mark in the environment, and who holds its lock; with `kill` the runner as well."""
        number = signal.SIGKILL if kill else signal.SIGTERM
        for engine in processes.engines:
            send_signal(engine, number, to_group=True)
        for process in await asyncio.to_thread(started_by_run, run_id, self._lock_of(run_id)):
            if kill or process != processes.runner:
                send_signal(process, number)

    def _runners_of(self, run_id: str) -> set[ProcessIdentity]:
        return {*started_by_run(run_id, self._lock_of(run_id))} - {*started_by_run(run_id)}

    def _lock_of(self, run_id: str) -> str:
        return str(self._path_of(run_id) / "lock")

    async def _runner(self, run_id: str) -> ProcessIdentity | None:
        # The runner writes who it is right after it was started: at most a moment away.
        deadline = asyncio.get_running_loop().time() + _IDENTITY_SECONDS
        while True:
            runner = (await self._directories.processes(run_id)).runner
            if runner is not None or asyncio.get_running_loop().time() > deadline:
                return runner
            await asyncio.sleep(0.01)
