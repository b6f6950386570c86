"""The monitor: follows the journals of live runs and applies what they say.

It sleeps while nothing runs. The kernel wakes it when a runner writes (inotify(7)); once a second
it looks whether each followed run still has a living process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from asyncinotify import Inotify, Mask, Watch

from core.job_manager import JobManager
from core.ports import Executor, RunDirectories
from fastapi_app.websocket.hub import Hub
from models.errors import JobNotFound, LongshoreError, RunNotFound
from models.events import EngineStarted, HelperStarted, JournalPart, RunProcesses, RunStarted
from utils.process_identity import ProcessIdentity

LIVENESS_SECONDS = 1.0
_KEPT_PROCESSES = 8
"""How many of a run's newest processes are remembered: no more than three live at once."""
_logger = logging.getLogger(__name__)


@dataclass
class _Followed:
    offset: int = 0
    watch: Watch | None = None
    runner: ProcessIdentity | None = None
    engines: list[ProcessIdentity] = field(default_factory=list)

    def take(self, part: JournalPart) -> None:
        """Take note of who performs the run, and of how far its journal is applied."""
        self.offset = part.next_offset
        for line in part.lines:
            if isinstance(line.event, RunStarted):
                self.runner = line.event.runner
            elif isinstance(line.event, (EngineStarted, HelperStarted)):
                self.engines = [*self.engines[-_KEPT_PROCESSES:], line.event.engine]


class Monitor:
    """Follows every run under way. `run` is its loop; commands tell it of runs by `run_started`."""

    def __init__(
        self,
        hub: Hub,
        directories: RunDirectories,
        executor: Executor,
        path_of: Callable[[str], Path],
    ) -> None:
        self._hub = hub
        self._directories = directories
        self._executor = executor
        self._path_of = path_of
        self._followed: dict[str, _Followed] = {}
        self._written: set[str] = set()
        self._wake = asyncio.Event()
        self._inotify = Inotify()
        self.is_running = False
        self.failed_steps = 0
        self.last_failure: str | None = None

    @property
    def followed_count(self) -> int:
        """How many runs are followed."""
        return len(self._followed)

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Pass on to the browsers which jobs changed."""
        self._hub.jobs_changed(job_ids)

    def run_started(self, run_id: str) -> None:
        """Follow this run's journal from its beginning."""
        followed = self._followed.setdefault(run_id, _Followed())
        try:
            path = self._path_of(run_id) / "journal.jsonl"
            followed.watch = self._inotify.add_watch(path, Mask.MODIFY)
        except OSError as error:
            # No watch to be had: the look once a second reads the journal as well.
            _logger.warning("the journal of %s cannot be watched: %s", run_id, error)
        self._mark(run_id)

    async def run(self, manager: JobManager) -> None:
        """Follow until cancelled; a failing step is logged and counted, and the loop goes on."""
        listener = asyncio.create_task(self._listen(), name="journal-watch")
        self.is_running = True
        clock = asyncio.get_running_loop().time
        next_look = clock() + LIVENESS_SECONDS
        try:
            while True:
                has_work = bool(self._followed) or manager.has_waiting()
                written = await self._wait(next_look - clock() if has_work else None)
                looks = clock() >= next_look
                if looks:
                    next_look = clock() + LIVENESS_SECONDS
                    await self._launch(manager)
                for run_id in tuple(self._followed) if looks else written:
                    await self._step(manager, run_id, looks=looks)
        finally:
            self.is_running = False
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
            self._inotify.close()

    async def _launch(self, manager: JobManager) -> None:
        """Start what waits, in case a failing disk kept it from being started in its time."""
        try:
            await manager.launch_queued()
        except LongshoreError as error:
            self._note_failure("the queue", error)

    async def _wait(self, seconds: float | None) -> tuple[str, ...]:
        """Wait for runners that wrote: no longer than this, None for as long as it takes."""
        try:
            async with asyncio.timeout(None if seconds is None else max(0.0, seconds)):
                await self._wake.wait()
        except TimeoutError:
            return ()
        self._wake.clear()
        written, self._written = self._written, set()
        return tuple(written & self._followed.keys())

    async def _step(self, manager: JobManager, run_id: str, *, looks: bool) -> None:
        try:
            if await self._apply(manager, run_id, looks=looks):
                self._forget(run_id)
        except (RunNotFound, JobNotFound) as error:
            _logger.error("run %s is followed no more: %s", run_id, error)
            self._forget(run_id)
        except LongshoreError as error:
            self._note_failure(run_id, error)
        except Exception as error:  # noqa: BLE001 - the loop's boundary: logged and counted
            self._note_failure(run_id, error)

    async def _apply(self, manager: JobManager, run_id: str, *, looks: bool) -> bool:
        """Apply what is new in a journal; True when the run is over."""
        # Before reading: what a runner wrote before it let go of the lock is read below.
        is_held = not looks or await self._directories.is_held(run_id)
        followed = self._followed[run_id]
        while True:
            part = await self._directories.read_journal_part(run_id, followed.offset)
            if part.next_offset == followed.offset:
                break
            if part.lines and await manager.update_job_from_engine(run_id, part.lines):
                return True
            followed.take(part)
        if not is_held:
            await manager.close_dead_run(run_id)
            return True
        if looks:
            self._executor.stop_orphan(RunProcesses(followed.runner, tuple(followed.engines)))
        return False

    def _note_failure(self, run_id: str, error: Exception) -> None:
        self.failed_steps += 1
        self.last_failure = f"{type(error).__name__}: {error}"
        _logger.error("following %s failed", run_id, exc_info=error)

    def _mark(self, run_id: str) -> None:
        self._written.add(run_id)
        self._wake.set()

    def _forget(self, run_id: str) -> None:
        followed = self._followed.pop(run_id, None)
        if followed is not None and followed.watch is not None:
            try:
                self._inotify.rm_watch(followed.watch)
            except OSError as error:
                _logger.debug("the watch of %s was gone: %s", run_id, error)

    async def _listen(self) -> None:
        async for event in self._inotify:
            if event.path is not None:
                self._mark(event.path.parent.name)
