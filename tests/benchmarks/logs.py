"""What it costs to look into a log of a million lines, beside `grep` over the same file."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.benchmarks.table import Row, row
from tests.support import RunningServer

LINES = 1_000_000
FAILED_EVERY = 5_000
_ROUNDS = 11
_DISK = "/var/tmp"
_WORDS = "Permission denied"


def long_log() -> list[Row]:
    """Open it, scroll through it, find in it; and by how much the server grows by all that."""
    with TemporaryDirectory(dir=_DISK) as name:
        root = Path(name)
        server = RunningServer(root / "data")
        server.start()
        try:
            return _measure(server, root)
        finally:
            server.close()


def _measure(server: RunningServer, root: Path) -> list[Row]:
    (root / "from").mkdir()
    (root / "from" / "one").write_text("1")
    run_id = server.start_job(server.create_job(root / "from", root / "to"))
    server.wait_for_end(run_id)
    log = server.data_dir / "runs" / run_id / "engine.log"
    page = f"/runs/{run_id}/log"
    server.http.get(page)
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    _write(log)
    grep = _seconds(lambda: _grep(log))
    opened = _seconds(lambda: server.http.get(page).raise_for_status())
    found = _seconds(lambda: server.http.get(f"{page}?q={_WORDS}&find=first").raise_for_status())
    level = _seconds(lambda: server.http.get(f"{page}?level=error").raise_for_status())
    size = log.stat().st_size
    places = iter(range(0, size, size // 200))
    scrolled = _seconds(
        lambda: server.http.get(f"{page}/lines?at={next(places)}").raise_for_status()
    )
    grown = (process.memory_info().rss - before) / 2**20
    what = f"log of {LINES:,} lines"
    return [
        row(f"{what}: opened", opened * 1000, "ms", reference=grep * 1000, aim="under 300"),
        row(f"{what}: first hits", found * 1000, "ms", reference=grep * 1000, aim="under 1000"),
        row(f"{what}: errors alone", level * 1000, "ms", reference=grep * 1000, aim="under 1000"),
        row(f"{what}: a window further", scrolled * 1000, "ms", reference=grep * 1000, aim="-"),
        row(f"{what}: growth of the server", grown, "MiB", reference=size / 2**20, aim="under 20"),
    ]


def _write(log: Path) -> None:
    with log.open("w") as file:
        for number in range(LINES):
            if number % FAILED_EVERY == FAILED_EVERY - 1:
                file.write(f'rsync: [sender] send_files failed to open "{number}": {_WORDS} (13)\n')
            else:
                file.write(f">f+++++++++ 12345 2345 2026/holiday/IMG_{number:07d}.jpg\n")


def _grep(log: Path) -> None:
    found = subprocess.run(
        ["grep", "-c", "-i", "-F", _WORDS, str(log)], capture_output=True, check=True
    )
    assert int(found.stdout) == LINES // FAILED_EVERY


def _seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


BENCHMARKS = (long_log,)
