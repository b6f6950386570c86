"""Children forked from a warm parent: a fault is forced on a real process, a thousand times."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

_SECONDS = 30
_CONTEXT = multiprocessing.get_context("forkserver")
# Imported once, before the first fork: a child is there in some milliseconds, without the second
# that the imports take. The parent itself opens nothing and has no threads.
_CONTEXT.set_forkserver_preload(["tests.chaos.drivers"])


class Child:
    """A process that does `work`, one of the drivers, and talks through a pipe."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=work, args=(*arguments, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def connection(self) -> Connection:
        """The test's end of the pipe."""
        return self._connection

    def receive(self) -> Any:
        """Return its next message, or None when it ended without one; fails after a deadline."""
        if not self._connection.poll(_SECONDS):
            raise AssertionError("the child says nothing")
        try:
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            return None

    def send(self, message: object) -> None:
        """Tell it something."""
        self._connection.send(message)

    def kill(self) -> None:
        """End it with SIGKILL; may be called at any time."""
        self._process.kill()
        self.exit_code()

    def exit_code(self) -> int:
        """Wait for its end; a signal that ended it is negative."""
        self._process.join(_SECONDS)
        code = self._process.exitcode
        assert code is not None, "the child does not end"
        return code

    def close(self) -> None:
        """Leave nothing of it."""
        self.kill()
        self._connection.close()


@contextlib.contextmanager
def child(work: Callable[..., None], *arguments: Any) -> Iterator[Child]:
    """Start a child, and leave nothing of it."""
    started = Child(work, *arguments)
    try:
        yield started
    finally:
        started.close()
