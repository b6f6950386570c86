"""How long others wait beside two hundred slow clients and a flood of five hundred connections."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from fastapi_app.connections import as_many_as_files_allow
from tests.benchmarks.table import Row, row
from tests.crowds import FLOOD, HOST, SLOW, Flood, Slow
from tests.support import RunningServer, wait_until

_DISK = "/var/tmp"
_PATHS = ("/", "/health", "/api/v1/jobs")
_SECONDS = 15.0
_PAUSE_SECONDS = 0.02
_ASKS = f"GET / HTTP/1.1\r\n{HOST}\r\n"
_BUSY = 503


def crowds() -> list[Row]:
    """The 99th percentile of a visitor who comes anew for each page, and of /health alone."""
    as_many_as_files_allow()
    with TemporaryDirectory(dir=_DISK) as name:
        server = RunningServer(Path(name) / "data")
        server.start()
        try:
            alone, _ = _waits(server)
            with ExitStack() as stack:
                Slow(server, stack)
                Flood(server, stack)
                beside, busy = _waits(server)
            assert not busy, "a connection that says nothing took somebody's place"
            with ExitStack() as stack:
                Slow(server, stack)
                Flood(server, stack, _ASKS)
                asking, busy = _waits(server)
            wait_until(lambda: not _is_busy(server), what="the end of the flood")
        finally:
            server.close()
    crowd = f"{SLOW} slow clients and a flood of {FLOOD} connections"
    told = f", each of which asks for a page ({busy:.0%} were told to come again)"
    return [
        row(
            f"p99 of a visitor beside {crowd}{more}",
            _p99(waits),
            "ms",
            reference=_p99(alone),
            aim=f"{aim} (reference: without them)",
        )
        for more, waits, aim in (("", beside, "under 500 ms"), (told, asking, "none"))
    ]


def _waits(server: RunningServer) -> tuple[list[float], float]:
    """Return how long each answer took, in milliseconds, and which part of them was 503."""
    waits: list[float] = []
    statuses: Counter[int] = Counter()
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        path = _PATHS[len(waits) % len(_PATHS)]
        began = time.perf_counter()
        with httpx.Client(base_url=server.url, trust_env=False, timeout=30, verify=False) as one:
            statuses[one.get(path).status_code] += 1
        waits.append(1000 * (time.perf_counter() - began))
        time.sleep(_PAUSE_SECONDS)
    return waits, statuses[_BUSY] / len(waits)


def _is_busy(server: RunningServer) -> bool:
    return server.http.get("/api/v1/jobs").status_code == _BUSY


def _p99(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=100)[98]


BENCHMARKS = (crowds,)
