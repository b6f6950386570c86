"""What runs cost: a tool's flood of output, its log on a page, a server at rest, a hundred live
runs."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from models.job_state import JobState
from models.job_status import JobStatus
from storage.job_storage import JobStorage
from tests.benchmarks.table import Row, row
from tests.fakes.builders import a_job
from tests.fakes.flood import FloodingRsync
from tests.integration.live import live
from tests.support import PROJECT_ROOT, RunningServer, make_tree, wait_until

JOBS = 10_000
LIVE_RUNS = 100
EVENTS_A_SECOND = 2
"""Of each live run."""
_FLOOD_BYTES = 1_000_000_000
_FLOODS = 5
_VIEWS = 15
_WINDOW_SECONDS = 10.0
_SETTLED_TICKS = 1
DISK = "/var/tmp"
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def flood() -> list[Row]:
    """A gigabyte of lines from a tool, drained by the runner, against the same to a plain file."""
    rsync = shutil.which("rsync")
    assert rsync is not None
    with TemporaryDirectory(dir=DISK) as name:
        root = Path(name)
        tool = FloodingRsync(root / "tool", rsync, size=_FLOOD_BYTES)
        server = RunningServer(root / "data", **tool.environment)
        server.start()
        try:
            make_tree(root / "from", files=5)
            job = server.create_job(root / "from", root / "to", verification="off")
            pairs = [_flood_pair(server, job, tool, root) for _ in range(_FLOODS)]
            views = _log_views(server, job, tool)
        finally:
            server.close()
    drained, plain = ([pair[place] for pair in pairs] for place in (0, 1))
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    return [
        Row(
            f"1 GB of log lines while a tool works, median of {_FLOODS} pairs with a plain file",
            round(statistics.median(drained), 3),
            "s",
            round(statistics.median(plain), 3),
            round(ratio, 3),
            "at most 1.2",
        ),
        *views,
    ]


def _flood_pair(
    server: RunningServer, job: str, tool: FloodingRsync, root: Path
) -> tuple[float, float]:
    """Return the seconds of a flood that the runner drains, and of one to a plain file."""
    # What the one before left to be written must not slow this one down.
    os.sync()
    gc.collect()
    run_id = server.start_job(job)
    directory = server.data_dir / "runs" / run_id
    # On disk, so that asking the server takes no time from the tool and its runner.
    wait_until((directory / "result.json").exists, seconds=120, what="the end of the flood")
    run = server.wait_for_end(run_id)
    assert run["outcome"] == "warning", run  # The flood tells of one file that failed.
    assert (directory / "engine.log").stat().st_size <= 20_000_000
    drained = tool.seconds()
    os.sync()
    tool.flood_file(root / "plain", root / "from", root / "bare")
    (root / "plain").unlink()
    return drained, tool.seconds()


def _log_views(server: RunningServer, job: str, tool: FloodingRsync) -> list[Row]:
    """How soon the log of a flood can be seen, beside that of a run that wrote a few lines."""
    (flooded, *_) = server.http.get(f"/api/v1/jobs/{job}/runs").json()["items"]
    tool.resize(1000)
    small = server.wait_for_end(server.start_job(job))
    tool.seconds()
    rows = []
    for name, address in (
        ("page of a run with its log", "/runs/{}"),
        ("last 64 KiB of the log through the API", "/api/v1/runs/{}/log?offset=-65536"),
    ):
        large, ordinary = (
            _slowest_answer(server, address.format(run["id"])) for run in (flooded, small)
        )
        rows.append(
            row(
                f"{name} after 1 GB, worst of {_VIEWS}",
                large * 1000,
                "ms",
                reference=ordinary * 1000,
                aim="under 300 ms (reference: a log of 1 KB)",
            )
        )
    return rows


def _slowest_answer(server: RunningServer, address: str) -> float:
    times = []
    for _ in range(_VIEWS):
        began = time.perf_counter()
        assert server.http.get(address).status_code == 200
        times.append(time.perf_counter() - began)
    return max(times)


def idle_server() -> list[Row]:
    """What ten thousand jobs cost while nothing runs."""
    with TemporaryDirectory(dir=DISK) as name:
        data_dir = Path(name) / "data"
        asyncio.run(fill(data_dir, JOBS, running=0))
        with served(RunningServer(data_dir)) as server:
            _settle(server)
            ticks = _ticks_in_window(server)
    return [
        row(
            f"idle with {JOBS} jobs: clock ticks in {_WINDOW_SECONDS:.0f} s",
            ticks,
            "ticks",
            reference=2,
            aim="at most 2 (reference: the bound)",
        )
    ]


def live_runs() -> list[Row]:
    """What a hundred live runs cost the server while a browser shows them all.

    Their runners are one process here, which holds all the locks and writes all the journals: a
    hundred would be measured for their own use of the processor.
    """
    with TemporaryDirectory(dir=DISK) as name:
        data_dir = Path(name) / "data"
        asyncio.run(fill(data_dir, LIVE_RUNS, running=LIVE_RUNS))
        with runners(data_dir), served(RunningServer(data_dir)) as server:
            jobs = [job["id"] for job in server.jobs()]
            assert {job["state"]["status"] for job in server.jobs()} == {"running"}
            updates, ticks = asyncio.run(_watch(server, jobs))
            assert {job["state"]["status"] for job in server.jobs()} == {"running"}
    # Each of them is seen to change, nearly as often as it does.
    assert updates > 0.8 * LIVE_RUNS * EVENTS_A_SECOND * _WINDOW_SECONDS, updates
    share = ticks / _TICKS_A_SECOND / _WINDOW_SECONDS * 100
    return [
        row(
            f"{LIVE_RUNS} live runs, {EVENTS_A_SECOND} events a second each, one browser",
            share,
            "% of a core",
            reference=15,
            aim="under 15 % (reference: the bound)",
        )
    ]


async def fill(data_dir: Path, count: int, *, running: int) -> None:
    """Store so many jobs; the first ones have a run under way."""
    store = await JobStorage.open(data_dir)
    job = a_job(options={"exclude": ["*.tmp", "cache/"]}, tags=["photos"])

    async def create(number: int) -> None:
        job_id = f"job-{number:05d}"
        fields = {"id": job_id, "name": f"Job {number}", "destination": f"/mnt/nas/{job_id}"}
        state = JobState(job_id)
        if number < running:
            state = JobState(job_id, status=JobStatus.RUNNING, run_id=f"run-{number:05d}")
        await store.create(job.model_copy(update=fields), state)

    for start in range(0, count, 500):
        await asyncio.gather(*(create(number) for number in range(start, min(start + 500, count))))
    await store.close()


@contextmanager
def served(server: RunningServer) -> Iterator[RunningServer]:
    """Run a server whose runs are performed by `runners`."""
    server.start()
    try:
        yield server
    finally:
        # Not `close`: what runs here is no runner that could be asked to stop.
        server.terminate()
        server.http.close()


@contextmanager
def runners(data_dir: Path) -> Iterator[None]:
    """A process that is the runner of every run, until it is ended."""
    module = "tests.benchmarks.runners"
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(data_dir), str(LIVE_RUNS), str(EVENTS_A_SECOND)],
        cwd=PROJECT_ROOT,
    )
    try:
        wait_until(
            lambda: len(list(data_dir.glob("runs/*/journal.jsonl"))) == LIVE_RUNS,
            what="the journals",
        )
        yield
    finally:
        process.kill()
        process.wait()


async def _watch(server: RunningServer, jobs: list[str]) -> tuple[int, int]:
    """Follow these jobs as a browser does; returns the updates and the server's ticks meanwhile."""
    updates = 0
    async with live(server) as client:
        await client.send(subscribe=jobs)

        async def follow(seconds: float) -> None:
            nonlocal updates
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        frame = await client.receive(seconds=60)
                        updates += len(frame.get("set", ()))
                        client.frames.clear()
            except TimeoutError:
                return

        await follow(_WINDOW_SECONDS / 2)  # Adopted, rendered once, warm.
        updates, before = 0, _ticks(server)
        await follow(_WINDOW_SECONDS)
        return updates, _ticks(server) - before


def _settle(server: RunningServer) -> None:
    """Wait until what a start leaves to be done is done."""

    def is_at_rest() -> bool:
        return _ticks_in_window(server, seconds=3.0) <= _SETTLED_TICKS

    wait_until(is_at_rest, seconds=60, what="the server's rest")


def _ticks_in_window(server: RunningServer, seconds: float = _WINDOW_SECONDS) -> int:
    before = _ticks(server)
    time.sleep(seconds)
    return _ticks(server) - before


def _ticks(server: RunningServer) -> int:
    """Return how much of the processor's time the server has used, in clock ticks (proc(5))."""
    assert server.process is not None
    stat = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[11]) + int(stat[12])


BENCHMARKS: tuple[Callable[[], list[Row]], ...] = (flood, idle_server, live_runs)
