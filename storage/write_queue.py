"""The single writer: one thread makes every change to job and state files, in order.

It takes what has gathered and commits it as a group (`storage/group_commit.py`). Callers await the
result of their own change.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from models.errors import StorageFailed
from storage.group_commit import Change, GroupCommit, Pending
from utils.histogram import Histogram

MAX_WAITING = 1000
"""How many changes may wait; who comes then waits for room."""
MAX_GROUP = 64
_SYNCERS = 8
IDLE_SECONDS = 0.05
"""After that without a change nothing is kept for the next one."""
LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_Waiting = tuple[Pending, asyncio.Future[None]]


class WriteQueue:
    """Takes changes from one event loop and makes them durable in a thread of its own."""

    def __init__(self) -> None:
        self._gathered: list[_Waiting] = []
        self._queue: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._waiting = 0
        self.groups = 0
        self.changes = 0
        self.latency = Histogram(LATENCY_BOUNDS)
        """How many seconds each caller waited for its change, done or refused."""
        self._syncers = ThreadPoolExecutor(_SYNCERS, thread_name_prefix="job-sync")
        self._disk = GroupCommit(self._syncers, _SYNCERS)
        self._thread = threading.Thread(target=self._run, name="job-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many changes were taken and are not done yet."""
        return self._waiting

    async def submit(self, change: Change) -> None:
        """Make a change; returns when it is durable. A caller who goes away does not undo it.

        Raises StorageFailed when nothing was changed, SaveOutcomeUnknown when the files are in
        their places but the disk did not confirm it, and whatever the change's `before` raises.
        """
        began = time.monotonic()
        async with self._room:
            if self._is_closed:
                raise StorageFailed(change.what, "the store is closed")
            done = self._loop.create_future()
            if not self._gathered:
                self._loop.call_soon(self._hand_over)
            self._gathered.append((Pending(change), done))
            self._waiting += 1
            try:
                await done
            finally:
                self._waiting -= 1
                self.latency.add(time.monotonic() - began)

    async def close(self) -> None:
        """Finish what waits, then end the thread; may be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._syncers.shutdown()

    def _hand_over(self) -> None:
        # Once in a turn of the loop, and not one by one: the writer would begin with the first, and
        # wait for the interpreter's lock at each system call while the loop prepares the others.
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._queue.put(gathered)

    def _run(self) -> None:
        goes_on, ended_at = True, float("-inf")
        while goes_on:
            gathered, goes_on = self._gather()
            self._disk.spares.in_a_row = time.monotonic() - ended_at < IDLE_SECONDS
            for start in range(0, len(gathered), MAX_GROUP):
                group = gathered[start : start + MAX_GROUP]
                self.groups += 1
                self.changes += len(group)
                self._disk.commit([pending for pending, _ in group])
                self._loop.call_soon_threadsafe(_tell, group)
            ended_at = time.monotonic()
        self._disk.spares.clear()

    def _gather(self) -> tuple[list[_Waiting], bool]:
        """Wait for changes; returns all that there are, and whether there may be more."""
        gathered: list[_Waiting] = []
        while not gathered or not self._queue.empty():
            try:
                handed_over = self._queue.get(timeout=IDLE_SECONDS if self._disk.spares else None)
            except queue.Empty:
                self._disk.spares.clear()
                continue
            if handed_over is None:
                return gathered, False
            gathered += handed_over
        return gathered, True


def _tell(group: Iterable[_Waiting]) -> None:
    for pending, done in group:
        if done.cancelled():
            continue
        if pending.error is None:
            done.set_result(None)
        else:
            done.set_exception(pending.error)
