"""What a child does to the database while the power fails: keeps runs and faults without an end."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import event

from models.errors import StorageFailed
from models.progress import RunOutcome
from models.run_history import close_run
from storage.database import Database
from storage.error_repository import ErrorRepository
from storage.run_repository import RunRepository
from tests.fakes.builders import NOON, a_fault, a_run
from utils.timestamps import utc_timestamp


class Kept(NamedTuple):
    """A row that is promised to be kept: a run as it is then, or a fault; and since when."""

    table: str
    key: str
    value: str
    acknowledged_at: float


def keep_recording(directory: Path, seed: int, synchronous: str, connection: Connection) -> None:
    """Keep runs, their ends, and faults, and send each once it is acknowledged.

    With another `synchronous` than FULL a commit is acknowledged too soon: the control.
    """
    logging.disable()
    asyncio.run(_keep_recording(directory, random.Random(seed), synchronous, connection))


async def _keep_recording(
    directory: Path, choice: random.Random, synchronous: str, connection: Connection
) -> None:
    database = await Database.open(directory)
    if synchronous != "FULL":
        _soften(database, synchronous)
    runs, log = RunRepository(database), ErrorRepository(database)
    round_ = f"{choice.randrange(2**40):010x}"
    longest_pause = choice.choice((0.0, 0.005, 0.02))

    async def keep_runs(writer: int) -> None:
        for serial in range(1_000_000):
            run = a_run(f"{round_}-{writer}-{serial}", job_id=f"job-{writer}")
            await runs.add(run)
            connection.send(Kept("runs", run.id, "running", time.monotonic()))
            await asyncio.sleep(choice.random() * longest_pause)
            ended = close_run(run, RunOutcome.COMPLETED, ended_at=NOON, message=None)
            await runs.save(replace(ended, bytes_done=serial))
            connection.send(Kept("runs", run.id, "completed", time.monotonic()))

    async def keep_faults(writer: int) -> None:
        for serial in range(1_000_000):
            messages = [f"{round_}-{writer}-{serial}-{part}" for part in range(3)]
            for message in messages:
                log.report(a_fault(message=message))
            await log.flush()
            if log.dropped_count:
                raise StorageFailed("The error log", utc_timestamp())
            for message in messages:
                connection.send(Kept("error_events", message, "", time.monotonic()))
            await asyncio.sleep(choice.random() * longest_pause)

    writers = [keep_runs(number) for number in range(choice.choice((1, 2, 6)))]
    try:
        await asyncio.gather(*writers, keep_faults(0), keep_faults(1))
    except StorageFailed:
        connection.close()  # The power is gone.


def _soften(database: Database, synchronous: str) -> None:
    engine = database._engine

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA synchronous={synchronous}")

    engine.dispose()  # Connections from now on are such.


def rows_in(path: Path) -> tuple[str, dict[tuple[str, str], str]]:
    """Return what integrity_check says of a database, and its rows: not by the store's words."""
    with sqlite3.connect(path) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        found = {("runs", run_id): status for run_id, status in connection.execute(_RUNS)}
        found |= {("error_events", message): "" for (message,) in connection.execute(_EVENTS)}
    connection.close()
    return str(verdict), found


_RUNS = "SELECT id, status FROM runs"
_EVENTS = "SELECT message FROM error_events"
