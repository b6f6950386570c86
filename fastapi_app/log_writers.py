"""Threads that write the lines of the log, each to one place, so that none waits for another.

A place that hangs costs its own lines alone: as many wait as there is room for, and those after
them are left out whole and counted, which is said there as soon as something is written again.
"""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable

_PIPE_BYTES = 4096
"""So much a pipe takes without blocking once it takes anything (pipe(7), PIPE_BUF)."""
_LOOK_SECONDS = 0.2
"""How often is looked for the end while nobody reads standard error."""


class LineWriter:
    """Has a thread write lines one after the other."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        most: int,
        told: Callable[[int], str],
        close: Callable[[], None],
    ) -> None:
        """`told` makes the line that says how many were left out; `close` comes after the last."""
        self._write = write
        self._told = told
        self._close = close
        self._lines: queue.Queue[str | None] = queue.Queue(most)
        self._lock = threading.Lock()
        self._left_out = 0
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Take a line; never waits."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            with self._lock:
                self._left_out += 1

    def end(self, deadline: float) -> None:
        """Write what waits, unless that takes too long; may be called twice."""
        if not self._thread.is_alive():
            return
        try:
            self._lines.put(None, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            return  # What hangs is not waited for.
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)
            with self._lock:
                left_out, self._left_out = self._left_out, 0
            if left_out:
                self._write(self._told(left_out))
        self._close()


class StandardError:
    """Takes lines as whole as it gets them, however long nobody reads what it has already."""

    def __init__(self) -> None:
        self._is_over = threading.Event()

    def write(self, line: str) -> None:
        """Write a line; waits until there is room for all of it, or until the end."""
        rest = f"{line}\n".encode("utf-8", "backslashreplace")
        try:
            descriptor = sys.stderr.fileno()
            while rest and self._has_room(descriptor):
                rest = rest[os.write(descriptor, rest[:_PIPE_BYTES]) :]
        except (OSError, ValueError, AttributeError):
            return  # There is none, as under pythonw or a closed terminal.

    def close(self) -> None:
        """Wait for nobody any longer."""
        self._is_over.set()

    def _has_room(self, descriptor: int) -> bool:
        while not self._is_over.is_set():
            if select.select([], [descriptor], [], _LOOK_SECONDS)[1]:
                return True
        return False
