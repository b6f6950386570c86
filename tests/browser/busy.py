"""A dashboard of two hundred jobs, fifty of which change ten times a second.

The server, the pages, the journals and all that is between them are real; the runners of the fifty
are one process (tests/benchmarks/batches.py), which writes their journals when it is told to.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.benchmarks.runs import fill
from tests.support import PROJECT_ROOT, RunningServer


class Batches:
    """The process that is the runner of all of them."""

    def __init__(self, data_dir: Path, running: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.batches", str(data_dir), str(running)],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.written = 0
        assert self._line() == "ready"

    def begin(self, count: int) -> None:
        """Write so many batches from now on."""
        assert self._process.stdin is not None
        self.written += count
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Wait until they are written."""
        assert self._line() == "done"

    def expect_shown(self, page: Page, number: int) -> None:
        """Wait until a page shows what was written last of a run."""
        shown = page.locator(f"[data-job-id=job-{number:05d}] [data-live=percent_text]").first
        expect(shown).to_have_text(f"{self.written / 10:.0f}%")

    def close(self) -> None:
        """Let go of the runs."""
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def busy_server(
    data_dir: Path, *, jobs: int, running: int, program: tuple[str, ...] = RunningServer.program
) -> Iterator[tuple[RunningServer, Batches]]:
    """Serve so many jobs, named job-00000 and so on, of which the first ones run."""
    # In a thread: Playwright's own event loop counts as running in this one.
    with ThreadPoolExecutor() as pool:
        pool.submit(lambda: asyncio.run(fill(data_dir, jobs, running=running))).result()
    batches = Batches(data_dir, running)
    server = RunningServer(data_dir, LONGSHORE_MAX_CONCURRENT_RUNS=str(running + 10))
    server.program = program
    try:
        server.start()
        yield server, batches
    finally:
        # Not `close`: the runner of all these runs would be asked to stop.
        server.terminate()
        server.http.close()
        batches.close()
