"""What pages cost among ten thousand jobs, beside the same pages among forty."""

"""What the pages cost the server with ten thousand jobs: time and size."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from models.job_state import JobState
from models.job_status import JobStatus
from models.run import Run
from storage.job_storage import JobStorage
from tests.benchmarks.table import Row, row
from tests.fakes.builders import a_job
from tests.fakes.histories import keep_many, past_run
from tests.support import RunningServer, wait_until

MANY, FEW = 10_000, 40
RUNS_EACH = 6
WITH_FULL_STRIPS = 60
"""So many jobs have as many runs as a strip shows: more than a page has."""
_STRIP = 31
_ASKED = 41
_PAGES = ("/jobs", "/jobs?sort=urgency", "/jobs?q=0042", "/", "/runs")
_DISK = "/var/tmp"
_KILOBYTE = 1000


@dataclass(frozen=True)
class _Answers:
    milliseconds: float
    kilobytes: float


def many_jobs() -> list[Row]:
    """Median time and size of the pages that list jobs and runs."""
    with TemporaryDirectory(dir=_DISK) as name:
        asyncio.run(_furnish(Path(name) / "many", MANY))
        asyncio.run(_furnish(Path(name) / "few", FEW))
        many, few = _answers(Path(name) / "many"), _answers(Path(name) / "few")
    rows = []
    for path in _PAGES:
        what = f"GET {path} among {MANY:,} jobs"
        mine, theirs = many[path], few[path]
        rows += [
            row(
                what,
                mine.milliseconds,
                "ms",
                reference=theirs.milliseconds,
                aim="at most 40",
            ),
            row(f"{what}: size", mine.kilobytes, "KB", reference=theirs.kilobytes, aim="under 200"),
        ]
    return rows


async def _furnish(directory: Path, count: int) -> None:
    directory.mkdir(mode=0o700)
    store = await JobStorage.open(directory)
    now = datetime.now(UTC)
    for start in range(0, count, 500):
        numbers = range(start, min(start + 500, count))
        await asyncio.gather(*(_create(store, number, now) for number in numbers))
    await store.close()
    keep_many(directory, (run for number in range(count) for run in _history(number, now)))


async def _create(store: JobStorage, number: int, now: datetime) -> None:
    tags = ("photos",) if number % 3 else ("nas", "mail")
    job = a_job(
        _id(number),
        name=f"Job {number:05d} of somebody",
        source=f"/srv/photos/{number}/library",
        destination=f"/var/tmp/backup/{number}",
        tags=tags,
    )
    failed = number % 10 == 0
    changed = (now - timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    state = JobState(
        _id(number),
        status=JobStatus.FAILED if failed else JobStatus.COMPLETED,
        message="The destination is not mounted." if failed else None,
        changed_at=changed,
        last_good_at=changed,
    )
    await store.create(job, state)


def _history(number: int, now: datetime) -> list[Run]:
    count = _STRIP if number < WITH_FULL_STRIPS else RUNS_EACH
    return [
        past_run(
            run,
            job_id=_id(number),
            started=now - timedelta(days=count - run, minutes=number % 60),
            seconds=5 + run * 7 % 300,
        )
        for run in range(count)
    ]


def _id(number: int) -> str:
    return f"job-{number:05d}"


def _answers(directory: Path) -> dict[str, _Answers]:
    server = RunningServer(directory)
    server.start()
    try:
        wait_until(lambda: server.http.get("/").is_success, what="the first page")
        return {path: _answer(server, path) for path in _PAGES}
    finally:
        server.close()


def _answer(server: RunningServer, path: str) -> _Answers:
    times, size = [], 0
    for _ in range(_ASKED):
        began = time.perf_counter()
        answer = server.http.get(path, headers={"Accept-Encoding": "identity"})
        times.append(time.perf_counter() - began)
        size = len(answer.raise_for_status().content)
    return _Answers(1000 * statistics.median(times), size / _KILOBYTE)


BENCHMARKS = (many_jobs,)

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import runs
from tests.benchmarks.table import Row, row
from tests.support import RunningServer

PAGES = (("Jobs page", "/jobs"), ("Dashboard", "/"))
P50_AIM_MS = 40.0
SIZE_AIM_KB = 200.0
_TIMES, _WARM = 50, 5


def pages() -> list[Row]:
    """Jobs page and Dashboard."""
    rows = []
    with TemporaryDirectory(dir=runs.DISK) as name:
        data_dir = Path(name) / "data"
        asyncio.run(runs.fill(data_dir, runs.JOBS, running=0))
        with runs.served(RunningServer(data_dir)) as server:
            for what, address in PAGES:
                times, size = _ask(server, address)
                static, _ = _ask(server, "/static/favicon.svg")
                rows += [
                    row(
                        f"{what} with {runs.JOBS} jobs, p50 of {_TIMES}",
                        times,
                        "ms",
                        reference=static,
                        aim=f"at most {P50_AIM_MS:.0f} ms (reference: a static file)",
                    ),
                    row(
                        f"{what} with {runs.JOBS} jobs, size",
                        size,
                        "KB",
                        reference=SIZE_AIM_KB,
                        aim=f"under {SIZE_AIM_KB:.0f} KB (reference: the bound)",
                    ),
                ]
    return rows


def _ask(server: RunningServer, address: str) -> tuple[float, float]:
    """Return the median of the times that an answer takes, in ms, and its size in KB."""
    times, size = [], 0
    for number in range(_WARM + _TIMES):
        began = time.perf_counter()
        answer = server.http.get(address)
        if number >= _WARM:
            times.append(1000 * (time.perf_counter() - began))
        assert answer.status_code == 200
        size = len(answer.content)
    return statistics.median(times), size / 1024


BENCHMARKS: tuple[Callable[[], list[Row]], ...] = (pages,)
