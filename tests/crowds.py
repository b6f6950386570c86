"""Clients that send one byte a second, and a flood of connections, for tests and benchmarks."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress

from tests.support import RunningServer

SLOW, FLOOD = 200, 500
HOST = "Host: localhost\r\n"


def connect(server: RunningServer, sent: str = "", *, buffer: int = 0) -> socket.socket:
    """Open a connection and send something."""
    connection = socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(sent.encode())
    return connection


class Slow:
    """Two hundred that send one byte a second: half of them a head, half a body."""

    def __init__(self, server: RunningServer, stack: ExitStack) -> None:
        head = f"GET / HTTP/1.1\r\n{HOST}X: "
        body = f"POST /jobs HTTP/1.1\r\n{HOST}Content-Length: 900\r\n\r\n"
        self._open = [
            stack.enter_context(connect(server, head if number % 2 else body))
            for number in range(SLOW)
        ]
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._drip, name="slow")
        self._thread.start()
        stack.callback(self._end)

    @property
    def left(self) -> int:
        """How many have not been let go of."""
        return len(self._open)

    def _drip(self) -> None:
        while not self._ends.is_set():
            self._open = [one for one in self._open if self._goes_on(one)]
            self._ends.wait(1.0)

    def _goes_on(self, connection: socket.socket) -> bool:
        try:
            connection.send(b"a")
            with suppress(BlockingIOError):
                connection.recv(4096, socket.MSG_DONTWAIT)  # An end alone does not let it go.
        except OSError:
            return False
        return True

    def _end(self) -> None:
        self._ends.set()
        self._thread.join()


class Flood:
    """Five hundred connections at a time, again and again; each says this and is then left open."""

    def __init__(self, server: RunningServer, stack: ExitStack, said: str = "") -> None:
        self._server, self._said = server, said
        self.rounds = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._flow, name="flood")
        self._thread.start()
        stack.callback(self._end)

    def _flow(self) -> None:
        while not self._ends.is_set():
            with ExitStack() as stack, suppress(OSError):
                for _ in range(FLOOD):
                    stack.enter_context(connect(self._server, self._said))
                self.rounds += 1
                self._ends.wait(1.0)

    def _end(self) -> None:
        self._ends.set()
        self._thread.join()
