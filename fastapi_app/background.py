"""The monitor: follows the journals of live runs and applies what they say.

It sleeps while nothing runs. It is woken when a runner writes (journal_watch.py); once a second it
looks whether each followed run still has its runner, and ends what a dead one left behind.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from core.job_manager import JobManager
from core.ports import ErrorLog, Executor, RunDirectories
from fastapi_app.journal_watch import JournalWatch
from fastapi_app.monitor_faults import LAUNCHING, LOOKING, MonitorFaults
from models.errors import JobNotFound, RunNotFound
from models.events import (
    EngineStarted,
    HelperStarted,
    JournalPart,
    RunEnded,
    RunLook,
    RunProcesses,
    RunStarted,
)
from utils.histogram import Histogram
from utils.log_context import about
from utils.process_identity import ProcessIdentity
from utils.timestamps import utc_timestamp

LIVENESS_SECONDS = 1.0
ROUND_SECONDS = 0.1
"""The shortest time between two looks at what runners wrote."""
_STOP_MARGIN_SECONDS = 0.5
"""How much longer than the grace period a runner may take to end what it started."""
LAG_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_KEPT_PROCESSES = 8
"""How many of a run's newest processes are remembered: no more than three live at once."""
_logger = logging.getLogger(__name__)


@dataclass
class _Followed:
    offset: int = 0
    runner: ProcessIdentity | None = None
    engines: list[ProcessIdentity] = field(default_factory=list)
    runner_lost_at: float | None = None
    """When it was first seen that its runner is gone and something that it started is not."""
    must_end_at: float = float("inf")
    """Until then a run that was asked to stop may take its time; as the loop's clock tells it."""

    @property
    def processes(self) -> RunProcesses:
        """Who performs the run."""
        return RunProcesses(self.runner, tuple(self.engines))

    def take(self, part: JournalPart) -> None:
        """Take note of who performs the run, and of how far its journal is applied."""
        self.offset = part.next_offset
        for line in part.lines:
            if isinstance(line.event, RunStarted):
                self.runner = line.event.runner
            elif isinstance(line.event, (EngineStarted, HelperStarted)):
                self.engines = [*self.engines[-_KEPT_PROCESSES:], line.event.engine]


class JobsListener(Protocol):
    """Who is told which jobs changed."""

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Take note, at once and without waiting."""
        ...


class Monitor:
    """Follows every run under way. `run` is its loop; commands tell it of runs by `run_started`."""

    def __init__(
        self,
        listener: JobsListener,
        directories: RunDirectories,
        executor: Executor,
        path_of: Callable[[str], Path],
        error_log: ErrorLog,
        *,
        grace_seconds: float,
    ) -> None:
        self._listener = listener
        self.faults = MonitorFaults(error_log)
        self.grace_seconds = grace_seconds
        """How long what a dead runner left behind may take to end."""
        self._directories = directories
        self._executor = executor
        self._journals = JournalWatch(path_of)
        self._followed: dict[str, _Followed] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._next_look = 0.0
        self._beats: list[asyncio.Future[None]] = []
        self._turn_began_at: float | None = None
        self._last_turn_at = time.monotonic()
        self._began_at = utc_timestamp()
        self.is_running = False
        self.lag = Histogram(LAG_BOUNDS)
        """How many seconds after a runner wrote it the newest line of each look was applied."""

    @property
    def followed_count(self) -> int:
        """How many runs are followed."""
        return len(self._followed)

    @property
    def last_turn_seconds(self) -> float:
        """How long ago it last came round."""
        return time.monotonic() - self._last_turn_at

    @property
    def turn_seconds(self) -> float | None:
        """For how long its present turn has lasted; None while it waits or rests."""
        began_at = self._turn_began_at
        return None if began_at is None else time.monotonic() - began_at

    async def beat(self) -> None:
        """Return when it has come round once more. At rest it does so for this alone: nobody would
        know otherwise whether it still does."""
        beat = asyncio.get_running_loop().create_future()
        self._beats.append(beat)
        self._journals.wake()
        try:
            await beat
        finally:
            if beat in self._beats:
                self._beats.remove(beat)

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Pass on to the browsers which jobs changed."""
        self._listener.jobs_changed(job_ids)

    def run_started(self, run_id: str) -> None:
        """Follow this run's journal from its beginning."""
        with about(run_id=run_id):
            self._followed.setdefault(run_id, _Followed())
            self._journals.follow(run_id)

    def run_stopping(self, run_id: str, *, grace_seconds: float) -> None:
        """See to it that this run ends within the grace period and a moment.

        Its runner does that by itself. But one that hangs, on a mount that does not answer, hears
        no signal but SIGKILL.
        """
        followed = self._followed.get(run_id)
        if followed is None:
            return
        loop = asyncio.get_running_loop()
        patience = grace_seconds + _STOP_MARGIN_SECONDS
        followed.must_end_at = loop.time() + patience
        loop.call_later(patience, self._look_now)

    def _look_now(self) -> None:
        self._next_look = 0.0
        self._journals.wake()

    async def run(self, manager: JobManager) -> None:
        """Follow until cancelled; a failing step is logged and counted, and the loop goes on.

        Should the loop itself end, it can be begun anew.
        """
        async with self._journals.listening(self._followed):
            self.is_running = True
            self.faults.begin()
            self._next_look = asyncio.get_running_loop().time() + LIVENESS_SECONDS
            try:
                while True:
                    await self._turn(manager)
            finally:
                self.is_running = False
                ends = tuple(self._ending.values())
                for end in ends:
                    end.cancel()
                await asyncio.gather(*ends, return_exceptions=True)

    async def _turn(self, manager: JobManager) -> None:
        clock = asyncio.get_running_loop().time
        has_work = bool(self._followed) or manager.has_waiting()
        heard = await self._journals.written(self._next_look - clock() if has_work else None)
        written = tuple(heard & self._followed.keys())
        self._answer_beats()
        self._turn_began_at = time.monotonic()
        looks = clock() >= self._next_look
        if looks:
            self._next_look = clock() + LIVENESS_SECONDS
            await self._launch(manager)
        next_round = clock() + ROUND_SECONDS
        await self._round(manager, tuple(self._followed) if looks else written, looks=looks)
        self._turn_began_at = None
        # What is written meanwhile is taken together: one that writes now and then is heard at
        # once, and a hundred do not wake the server for each line.
        await self._journals.rest(next_round - clock())

    def _answer_beats(self) -> None:
        self._last_turn_at = time.monotonic()
        beats, self._beats = self._beats, []
        for beat in beats:
            if not beat.done():
                beat.set_result(None)

    async def _round(self, manager: JobManager, run_ids: tuple[str, ...], *, looks: bool) -> None:
        offsets = {
            run_id: self._followed[run_id].offset
            for run_id in run_ids
            if run_id in self._followed and run_id not in self._ending
        }
        if not offsets:
            return
        try:
            found = await self._directories.look(offsets, at_locks=looks)
        except Exception as error:  # noqa: BLE001 - the loop's boundary: logged, counted and shown
            self.faults.failed(None, error)
            return
        self.faults.succeeded(LOOKING)
        for run_id, look in found.items():
            with about(run_id=run_id):
                if _may_be_the_end(look):
                    # An end is written to the disk: while that does not answer the others go on.
                    end = self._end(manager, run_id, look, looks=looks)
                    self._ending[run_id] = asyncio.create_task(end, name="run-end")
                else:
                    await self._step(manager, run_id, look, looks=looks)

    async def _end(
        self, manager: JobManager, run_id: str, look: RunLook | OSError, *, looks: bool
    ) -> None:
        try:
            await self._step(manager, run_id, look, looks=looks)
        finally:
            del self._ending[run_id]
        if run_id in self._followed and not self.faults.is_failing(run_id):
            self._journals.mark(run_id)  # It goes on after all, and may have written meanwhile.

    async def _launch(self, manager: JobManager) -> None:
        """Start what waits, in case a failing disk kept it from being started in its time."""
        try:
            await manager.launch_queued()
        except Exception as error:  # noqa: BLE001 - the loop's boundary: logged, counted and shown
            self.faults.failed(None, error, what=LAUNCHING)
        else:
            self.faults.succeeded(LAUNCHING)

    async def _step(
        self, manager: JobManager, run_id: str, look: RunLook | OSError, *, looks: bool
    ) -> None:
        try:
            if isinstance(look, OSError):
                raise look
            if await self._apply(manager, run_id, look, looks=looks):
                self._forget(run_id)
            self.faults.succeeded(run_id)
        except (RunNotFound, JobNotFound) as error:
            _logger.error("run %s is followed no more: %s", run_id, error)
            manager.let_go(run_id)
            self._forget(run_id)
            self.faults.succeeded(run_id)
        except Exception as error:  # noqa: BLE001 - the loop's boundary: logged, counted and shown
            self.faults.failed(run_id, error)

    async def _apply(self, manager: JobManager, run_id: str, look: RunLook, *, looks: bool) -> bool:
        """Apply what is new in a journal; True when the run is over."""
        followed, part = self._followed[run_id], look.part
        while part.next_offset != followed.offset:
            is_over = part.lines and await manager.update_job_from_engine(run_id, part.lines)
            self._note_lag(part)
            if is_over:
                return True
            followed.take(part)
            if part.damaged:
                self.faults.journal_damaged(run_id, part.damaged)
            if part.has_more:
                part = await self._directories.read_journal_part(run_id, followed.offset)
        if not look.is_held:
            await manager.close_dead_run(run_id)
            return True
        if looks:
            await self._attend(manager, run_id, followed)
        return False

    def _note_lag(self, part: JournalPart) -> None:
        # What was written while no dashboard ran waited for that, and not for the monitor.
        if not part.lines or part.lines[-1].time < self._began_at:
            return
        try:
            written = datetime.fromisoformat(part.lines[-1].time).timestamp()
        except ValueError:
            return  # No time at all: the line counts all the same.
        self.lag.add(max(0.0, time.time() - written))

    async def _attend(self, manager: JobManager, run_id: str, followed: _Followed) -> None:
        """End what has no runner any more, and a runner that does not heed a stop."""
        now = asyncio.get_running_loop().time()
        kill = now >= followed.must_end_at
        if await self._executor.runner_lives(run_id, followed.processes):
            if kill:
                _logger.error("the runner of %s does not heed the stop: it is killed", run_id)
                await self._executor.end(run_id, followed.processes, kill=True)
            return
        if followed.runner_lost_at is None:
            followed.runner_lost_at = now
            _logger.error("the runner of %s is gone: what it left is stopped", run_id)
        kill = kill or now - followed.runner_lost_at > self.grace_seconds
        await self._executor.end(run_id, followed.processes, kill=kill)
        # Whatever becomes of that: nothing of the run may live on when its job is shown at rest.
        await manager.stop_orphan(run_id)

    def _forget(self, run_id: str) -> None:
        self._followed.pop(run_id, None)
        self._journals.forget(run_id)


def _may_be_the_end(look: RunLook | OSError) -> bool:
    """Whether the run may be over with what is new of it."""
    if isinstance(look, OSError):
        return False
    last = look.part.lines[-1:]
    is_ended = any(isinstance(line.event, RunEnded) for line in last)
    return is_ended or look.part.has_more or not look.is_held
