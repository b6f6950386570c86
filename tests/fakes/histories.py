"""A history of runs that nobody has to wait for: kept in a database as if they had happened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run import Phase, Run
from models.transitions import STATUS_OF_OUTCOME
from storage.database import Database
from storage.run_repository import RUNS, RunRepository, row_of
from tests.fakes.builders import a_run
from utils.timestamps import utc_timestamp

_OUTCOMES = (
    *(RunOutcome.COMPLETED,) * 6,
    RunOutcome.WARNING,
    RunOutcome.FAILED,
    RunOutcome.PAUSED,
    RunOutcome.INTERRUPTED,
)
_PREFLIGHT_SECONDS = 0.2


def past_run(
    number: int,
    *,
    job_id: str = "photos-0001",
    started: datetime,
    seconds: float = 60.0,
    sent: int = 2**20,
    outcome: RunOutcome = RunOutcome.COMPLETED,
) -> Run:
    """Return a transfer that has ended."""
    at, began, ended = (
        utc_timestamp((started + timedelta(seconds=after)).timestamp())
        for after in (0.0, _PREFLIGHT_SECONDS, seconds)
    )
    return a_run(
        f"{job_id}-past-{number:04d}",
        job_id=job_id,
        status=JobStatus(STATUS_OF_OUTCOME[outcome]),
        outcome=outcome,
        queued_at=at,
        started_at=at,
        ended_at=ended,
        attempts=1,
        bytes_done=3 * sent,
        bytes_sent=sent,
        phases=(
            Phase("preflight", at, began, "completed", None, _PREFLIGHT_SECONDS),
            Phase("transfer", began, ended, outcome, None, seconds - _PREFLIGHT_SECONDS),
        ),
    )


def past_runs(job_id: str, count: int, *, until: datetime | None = None) -> Iterator[Run]:
    """Yield a run for each of the last so many half days, oldest first, with every outcome."""
    until = until or datetime.now(UTC)
    for number in range(count):
        yield past_run(
            number,
            job_id=job_id,
            started=until - timedelta(hours=12 * (count - number)),
            seconds=30.0 + number * 37 % 100,
            sent=(number * 61 % 40 + 1) * 2**20,
            outcome=_OUTCOMES[number % len(_OUTCOMES)],
        )


def keep(data_dir: Path, runs: Iterable[Run]) -> None:
    """Put runs into the database of a data directory, also while a server uses it."""

    async def save() -> None:
        database = await Database.open(data_dir)
        repository = RunRepository(database)
        for run in runs:
            await repository.save(run)
        await database.close()

    # In a thread of its own: where a browser is driven, this one has an event loop already.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, save()).result()


def keep_many(data_dir: Path, runs: Iterable[Run]) -> None:
    """Put very many runs into a database that nobody uses, without what is counted by day."""
    rows = [row_of(run) for run in runs]

    async def save() -> None:
        database = await Database.open(data_dir)
        await database.write(lambda connection: connection.execute(insert(RUNS), rows))
        await database.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, save()).result()
