"""What a scrape of /metrics costs with a series for each of ten thousand jobs, and whom it keeps
waiting."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil

from fastapi_app.job_metrics import LAST_SUCCESS
from models.settings import Settings
from tests.benchmarks.composed import dashboard
from tests.benchmarks.pages import FEW, MANY, furnish
from tests.benchmarks.table import Row, row
from tests.benchmarks.ticker import ticking
from tests.support import RunningServer

_DISK = "/var/tmp"
_ASKED, _WARM = 21, 2
_MEGABYTE = 1_000_000


_WHAT = f"GET /metrics with {MANY:,} jobs"


class _Scrapes(NamedTuple):
    first_milliseconds: float
    milliseconds: float
    slowest_milliseconds: float
    work_milliseconds: float
    """The processor time of the whole server, for each scrape."""
    megabytes: float


def scrapes() -> list[Row]:
    """Time, size, and how long the loop was held up."""
    with TemporaryDirectory(dir=_DISK) as name:
        many, few = Path(name) / "many", Path(name) / "few"
        for directory, count in ((many, MANY), (few, FEW)):
            asyncio.run(furnish(directory, count))
        mine, theirs = _scrape(many, MANY), _scrape(few, FEW)
        held = asyncio.run(_held_up(many))
    against = (
        ("p50", mine.milliseconds, theirs.milliseconds),
        ("slowest", mine.slowest_milliseconds, theirs.slowest_milliseconds),
        ("the server’s own work", mine.work_milliseconds, theirs.work_milliseconds),
        ("the first one", mine.first_milliseconds, theirs.first_milliseconds),
    )
    return [
        *(
            row(f"{_WHAT}: {which}", value, "ms", reference=reference, aim="under 100")
            for which, value, reference in against
        ),
        row(f"{_WHAT}: size", mine.megabytes, "MB", reference=theirs.megabytes, aim="under 1.5"),
        *held,
    ]


def _scrape(directory: Path, count: int) -> _Scrapes:
    server = RunningServer(directory, LONGSHORE_METRICS_MAX_JOBS=str(MANY))
    server.start()
    times, size = [], 0
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    worked = 0.0
    try:
        for number in range(_WARM + _ASKED):
            if number == _WARM:
                worked = _work_of(process)
            began = time.perf_counter()
            # As it is: what travels is a tenth of it, which Prometheus asks for.
            answer = server.http.get("/metrics", headers={"Accept-Encoding": "identity"})
            times.append(1000 * (time.perf_counter() - began))
            size = len(answer.raise_for_status().content)
            assert answer.text.count(LAST_SUCCESS + "{") == count
        work = 1000 * (_work_of(process) - worked) / _ASKED
    finally:
        server.close()
    warm = times[_WARM:]
    return _Scrapes(times[0], statistics.median(warm), max(warm), work, size / _MEGABYTE)


def _work_of(process: psutil.Process) -> float:
    """Return the seconds that a process has had a processor."""
    used = process.cpu_times()
    return float(used.user + used.system)


async def _held_up(directory: Path) -> list[Row]:
    """Return for how long the loop was held up at most: by scrapes, beside at rest."""
    async with dashboard(Settings(data_dir=directory, metrics_max_jobs=MANY)) as services:
        async with ticking() as at_rest:
            await asyncio.sleep(1)
        async with ticking() as ticker:
            for _ in range(_ASKED):
                await services.metrics.scrape("", compressed=True)
    return ticker.rows(_WHAT, at_rest, aim="under 20")


BENCHMARKS = (scrapes,)
