"""What pages cost among ten thousand jobs, beside the same pages among forty."""

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
_ASKED, _WARM = 41, 5
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
        asyncio.run(furnish(Path(name) / "many", MANY))
        asyncio.run(furnish(Path(name) / "few", FEW))
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


async def furnish(directory: Path, count: int) -> None:
    """Keep so many jobs with their histories in a new data directory."""
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
    for number in range(_WARM + _ASKED):
        began = time.perf_counter()
        answer = server.http.get(path, headers={"Accept-Encoding": "identity"})
        if number >= _WARM:
            times.append(time.perf_counter() - began)
        size = len(answer.raise_for_status().content)
    return _Answers(1000 * statistics.median(times), size / _KILOBYTE)


BENCHMARKS = (many_jobs,)
