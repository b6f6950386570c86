"""What a storm of faults costs a whole dashboard: whoever reports, its loop, and its memory."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil

from fastapi_app.services import Services
from models.error_event import Component, Fault, Severity
from models.settings import Settings
from tests.benchmarks.composed import dashboard
from tests.benchmarks.table import Row, row
from tests.benchmarks.ticker import ticking
from tests.integration.live import live
from tests.integration.running import ended_server
from tests.scraped import samples
from tests.served_app import ServedApp
from tests.support import wait_until_async

REPORTS = 100_000
_AT_ONCE = 100
"""So many are reported before whoever reports lets others go on."""
_DISK = "/var/tmp"
_MICROSECONDS, _MEGABYTE = 1e6, 1e6
_TRACE = 'Traceback (most recent call last):\n  File "somewhere.py", line 1, in work\n' * 12
_FLUSH_SECONDS = 60
_FAULTS = 20
_SAME = "of the same fault"


def storms() -> list[Row]:
    """One fault again and again, and as many faults as reports."""
    rows: list[Row] = []
    for what, message in (
        (_SAME, lambda _: "The disk does not answer."),
        ("of distinct faults", lambda number: f"The file {number} cannot be read."),
    ):
        with TemporaryDirectory(dir=_DISK) as name:
            rows += asyncio.run(_storm(Path(name), what, message))
    return rows


async def _storm(directory: Path, what: str, message: Callable[[int], str]) -> list[Row]:
    async with dashboard(Settings(data_dir=directory / "data")) as services:
        async with ticking() as at_rest:
            await asyncio.sleep(1)
        memory = _Memory()
        async with ticking() as ticker:
            costs = await _report(services, message, memory)
            async with asyncio.timeout(_FLUSH_SECONDS):
                await services.error_log.flush()
            memory.look()
        await _check(services, what)
    made = _p99(_making(message))
    storm = f"{REPORTS:,} reports {what}"
    return [
        *(
            row(
                f"{storm}: each, p99 {how}",
                _p99(seconds) * _MICROSECONDS,
                "µs",
                reference=made * _MICROSECONDS,
                aim="at most 50",
            )
            for how, seconds in (
                ("by the clock", costs.by_clock),
                ("by its own work", costs.by_work),
            )
        ),
        *ticker.rows(storm, at_rest, aim="at most 20"),
        row(
            f"{storm}: memory",
            memory.more / _MEGABYTE,
            "MB",
            reference=memory.before / _MEGABYTE,
            aim="under 30 more",
        ),
    ]


async def _report(services: Services, message: Callable[[int], str], memory: _Memory) -> _Costs:
    """Report as components do, a few at a time; returns what each report cost in seconds."""
    report, clock, own_work = services.error_log.report, time.perf_counter, time.thread_time
    costs = _Costs([], [])
    for start in range(0, REPORTS, _AT_ONCE):
        for number in range(start, start + _AT_ONCE):
            fault = _fault(message(number))
            began, work_began = clock(), own_work()
            report(fault)
            work_ended, ended = own_work(), clock()
            costs.by_clock.append(ended - began)
            costs.by_work.append(work_ended - work_began)
        memory.look()
        await asyncio.sleep(0)
    return costs


def _fault(message: str) -> Fault:
    return Fault(
        severity=Severity.HIGH,
        component=Component.STORAGE,
        error_type="Storm",
        message=message,
        details={"errno": 5},
        job_id="photos-0001",
        job_name="Photos",
        stack_trace=_TRACE,
    )


def _making(message: Callable[[int], str]) -> list[float]:
    """Return what it costs to make a fault that is not reported."""
    costs: list[float] = []
    for number in range(REPORTS // 10):
        began = time.perf_counter()
        _fault(message(number))
        costs.append(time.perf_counter() - began)
    return costs


def _p99(costs: list[float]) -> float:
    return statistics.quantiles(costs, n=100)[98]


async def _check(services: Services, what: str) -> None:
    """Hold the counts against each other: each report was written, or is counted as not."""
    log = services.error_log
    written = sum(point.count for point in (await log.statistics()).hours)
    newest = (await log.list_events(limit=1)).items[0]
    assert written + log.dropped_count == REPORTS, (written, log.dropped_count)
    if what == _SAME:
        assert (log.dropped_count, newest.count) == (0, REPORTS)
    else:
        assert log.dropped_count > 0, "a storm of distinct faults is more than is kept"

    async def is_told() -> bool:
        found = samples((await services.metrics.scrape("", compressed=False)).body.decode())
        counted = found["longshore_errors_total", "component=storage", "severity=high"]
        dropped = found["longshore_error_log_dropped_total",]
        return (counted, dropped) == (REPORTS, log.dropped_count)

    await wait_until_async(is_told, seconds=10, what="the counts in /metrics")


class _Costs(NamedTuple):
    by_clock: list[float]
    by_work: list[float]
    """Without the time in which others had the processor."""


class _Memory:
    """The memory of this process, and its peak beyond what it began with."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self._process.memory_info().rss
        self.more = 0

    def look(self) -> None:
        """Note the peak."""
        self.more = max(self.more, self._process.memory_info().rss - self.before)


def to_a_page() -> list[Row]:
    """How long after a component reports a fault an open page is told of it."""
    with TemporaryDirectory(dir=_DISK) as name:
        served = ServedApp(Path(name))
        with ended_server(served):
            seconds = asyncio.run(_seen(served))
    return [
        row(
            f"from a fault to the frame of an open page, worst of {_FAULTS}",
            max(seconds) * 1000,
            "ms",
            reference=1000.0,
            aim="under 1000 (reference: the bound)",
        )
    ]


async def _seen(served: ServedApp) -> list[float]:
    seconds = []
    async with live(served) as client:
        for number in range(_FAULTS):
            words = f"The cable number {number} is out."
            fault = Fault(Severity.HIGH, Component.ENGINE, f"Cable{number}", words)
            began = time.monotonic()
            await asyncio.to_thread(served.report, fault)
            await client.until(lambda frame, words=words: words in frame.get("html", ""))  # type: ignore[misc]
            seconds.append(time.monotonic() - began)
    return seconds


BENCHMARKS = (storms, to_a_page)
