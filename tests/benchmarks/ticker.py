"""How long an event loop was held up: a task that would come back each millisecond, and notes when
it came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.benchmarks.table import Row, row

_EVERY_SECONDS = 0.001
_MILLISECONDS = 1000


class Ticker:
    """Measures while it runs."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        """The longest that anything on the loop had to wait."""
        self.busiest_seconds = 0.0
        """The most processor time that this process took between two ticks, all of its threads
        together: what others on the machine take is not in it."""

    async def run(self) -> None:
        """Tick until cancelled."""
        last, last_busy = time.perf_counter(), time.process_time()
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            now, busy = time.perf_counter(), time.process_time()
            self.longest_seconds = max(self.longest_seconds, now - last - _EVERY_SECONDS)
            self.busiest_seconds = max(self.busiest_seconds, busy - last_busy)
            last, last_busy = now, busy

    def rows(self, what: str, at_rest: Ticker, *, aim: str) -> list[Row]:
        """Return the figures beside those of the same loop at rest."""
        pairs = (
            ("by the clock", self.longest_seconds, at_rest.longest_seconds),
            ("by its own work", self.busiest_seconds, at_rest.busiest_seconds),
        )
        return [
            row(
                f"{what}: loop held up, {how}",
                seconds * _MILLISECONDS,
                "ms",
                reference=reference * _MILLISECONDS,
                aim=aim,
            )
            for how, seconds, reference in pairs
        ]


@asynccontextmanager
async def ticking() -> AsyncIterator[Ticker]:
    """Measure the loop that runs this."""
    ticker = Ticker()
    task = asyncio.create_task(ticker.run())
    await asyncio.sleep(0.05)
    ticker.longest_seconds = ticker.busiest_seconds = 0.0
    try:
        yield ticker
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
