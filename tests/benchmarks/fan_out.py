"""What the fan-out to many browsers costs: how old an update is when it arrives, memory, and what
one that does not read or ten thousand that come and go leave behind."""

from __future__ import annotations

import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import httpx
import psutil

from tests.benchmarks.hub_server import CARDS, HUGE
from tests.benchmarks.table import Row, row
from tests.support import PROJECT_ROOT, free_port, wait_until

CLIENTS = (100, 500, 1000)
AIMS_MS = {100: 15.0, 500: 50.0, 1000: 120.0}
MEMORY_AIM_KB = 45.0
COMINGS = 10_000
GROWTH_AIM_MB = 10.0
GONE_AIM_SECONDS = 10.0
_CROWDS = 2
"""Processes that the clients are spread over."""
_WARM_SECONDS = 2.0
_SECONDS = 8.0
_AT_ONCE = 50
_LEAST_SHARE = 0.8
_WARM_COMINGS = 1000
_SMALLEST_BUFFER = 2304
_UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass
class Served:
    """A server process."""

    port: int
    process: psutil.Process

    @property
    def rss(self) -> int:
        """Return its resident memory."""
        return int(self.process.memory_info().rss)

    @property
    def descriptors(self) -> int:
        """Return how many descriptors it holds."""
        return int(self.process.num_fds())

    @property
    def connections(self) -> int:
        """Return how many sockets it holds, the listening one aside."""
        sockets = self.process.net_connections()
        return sum(one.status != psutil.CONN_LISTEN for one in sockets)

    def clients(self) -> dict[str, int]:
        """Return what the hub says of its clients."""
        answer: dict[str, int] = httpx.get(
            f"http://127.0.0.1:{self.port}/clients", trust_env=False
        ).json()
        return answer


class Crowd:
    """Processes of clients; see hub_clients."""

    def __init__(self, port: int, count: int, stack: ExitStack) -> None:
        self._processes = [
            _python(stack, "hub_clients", f"ws://127.0.0.1:{port}/ws", str(count // _CROWDS))
            for _ in range(_CROWDS)
        ]
        for process in self._processes:
            assert self._line(process) == "ready"

    def ages(self, seconds: float) -> list[float]:
        """Return the ages of all frames that arrive in this time, in ms."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        return [age for process in self._processes for age in json.loads(self._line(process))]

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()


def latency() -> list[Row]:
    """The age of an update at its arrival, beside a bare broadcast of the same bytes."""
    rows = []
    for count in CLIENTS:
        ages = {kind: _ages(kind, count) for kind in ("bare", "hub")}
        # What did not arrive would not be old.
        share = len(ages["hub"]) / (count * _SECONDS * 10)
        assert share > _LEAST_SHARE, f"{share:.0%} of the updates of {count} clients arrived"
        for name, place in (("p50", 50), ("p99", 99)):
            mine, bare = (_percentile(ages[kind], place) for kind in ("hub", "bare"))
            aim = f"at most {AIMS_MS[count]:.0f} ms" if name == "p99" else "none"
            rows.append(
                row(
                    f"5 KB at 10/s to {count} clients, {name} of its age at the client",
                    mine,
                    "ms",
                    reference=bare,
                    aim=f"{aim} (reference: a bare broadcast, which waits for no answer)",
                )
            )
    return rows


def memory() -> list[Row]:
    """What a client costs the server while it is sent updates."""
    count = CLIENTS[-1]
    with ExitStack() as stack:
        server = stack.enter_context(served("hub"))
        _warm(server)
        before = server.rss
        Crowd(server.port, count, stack).ages(_WARM_SECONDS)
        each = (server.rss - before) / count / 1024
    return [
        row(
            f"server memory of each of {count} clients",
            each,
            "KB",
            reference=MEMORY_AIM_KB,
            aim=f"at most {MEMORY_AIM_KB:.0f} KB (reference: the bound)",
        )
    ]


def one_that_never_reads() -> list[Row]:
    """A thousand, and one that takes nothing off its socket."""
    count = CLIENTS[-1]
    with ExitStack() as stack:
        server = stack.enter_context(served("hub"))
        crowd = Crowd(server.port, count, stack)
        crowd.ages(_WARM_SECONDS)
        without = _percentile(crowd.ages(_SECONDS), 99)
        sockets = stack.enter_context(deaf(server.port))
        began = time.monotonic()
        with ThreadPoolExecutor() as pool:
            noted = pool.submit(crowd.ages, _SECONDS)
            assert server.clients()["connected"] == count + 1
            wait_until(lambda: server.connections <= count, seconds=60, what="its socket's end")
            gone = time.monotonic() - began
            beside = _percentile(noted.result(), 99)
        assert server.clients()["connected"] == count
        sockets.close()
    return [
        row(
            f"p99 of {count} clients beside one that never reads",
            beside,
            "ms",
            reference=without,
            aim=f"at most {AIMS_MS[count]:.0f} ms, no difference (reference: without it)",
        ),
        row(
            "until one that never reads is gone, with its descriptor",
            gone,
            "s",
            reference=GONE_AIM_SECONDS,
            aim=f"at most {GONE_AIM_SECONDS:.0f} s (reference: the bound)",
        ),
    ]


def comings_and_goings() -> list[Row]:
    """Ten thousand browsers that connect and are cut off, at three moments."""
    with served("hub") as server:
        _warm(server)
        memory, descriptors = server.rss, server.descriptors
        _come_and_go(server, COMINGS)
        left = server.descriptors - descriptors
        grown = (server.rss - memory) / 1024**2
    return [
        row(
            f"memory after {COMINGS} connects and aborts",
            grown,
            "MB",
            reference=GROWTH_AIM_MB,
            aim=f"under {GROWTH_AIM_MB:.0f} MB (reference: the bound)",
        ),
        row(
            f"descriptors left after {COMINGS} connects and aborts",
            left,
            "",
            reference=descriptors,
            aim="0 (reference: before)",
        ),
    ]


def _ages(kind: str, count: int) -> list[float]:
    with ExitStack() as stack:
        server = stack.enter_context(served(kind))
        crowd = Crowd(server.port, count, stack)
        crowd.ages(_WARM_SECONDS)
        return crowd.ages(_SECONDS)


@contextmanager
def served(kind: str) -> Iterator[Served]:
    """Run a server; see hub_server."""
    port = free_port()
    with ExitStack() as stack:
        process = _python(stack, "hub_server", str(port), kind)
        wait_until(lambda: _answers(port), what="the server")
        yield Served(port, psutil.Process(process.pid))


def _python(stack: ExitStack, module: str, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def end() -> None:
        process.kill()
        process.communicate()

    stack.callback(end)
    return process


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _warm(server: Served) -> None:
    """Let the server take the memory that it keeps whoever comes."""
    _come_and_go(server, _WARM_COMINGS)


def _come_and_go(server: Served, count: int) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda number: _abort(server.port, number), range(count)))
    wait_until(lambda: server.clients()["connected"] == 0, what="the end of all connections")
    wait_until(lambda: not server.connections, what="the end of all sockets")


def _abort(port: int, number: int) -> None:
    """Connect, and reset the connection: after the request, the hello, or an update."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(_UPGRADE.encode())
        if number % 3:
            _read_until(connection, b"hello")
        if number % 3 == 2:
            connection.sendall(_masked({"subscribe": CARDS}))
            _read_until(connection, b"update")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def deaf(port: int) -> Iterator[socket.socket]:
    """One that asks for more than the kernel takes for it, and reads nothing."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALLEST_BUFFER)
        connection.connect(("127.0.0.1", port))
        connection.sendall(_UPGRADE.encode())
        _read_until(connection, b"hello")
        connection.sendall(_masked({"subscribe": [*CARDS, HUGE]}))
        yield connection


def _read_until(connection: socket.socket, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        part = connection.recv(4096)
        assert part, seen
        seen += part


def _masked(message: dict[str, object]) -> bytes:
    """Return a message as a frame of a client (RFC 6455, 5.2), with the mask 0."""
    content = json.dumps(message).encode()
    return struct.pack("!BBH", 0x81, 0x80 | 126, len(content)) + bytes(4) + content


def _percentile(values: Sequence[float], place: int) -> float:
    return statistics.quantiles(values, n=100)[place - 1]


BENCHMARKS: tuple[Callable[[], list[Row]], ...] = (
    latency,
    memory,
    one_that_never_reads,
    comings_and_goings,
)
