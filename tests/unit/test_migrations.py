"""Proves that the database of any earlier version becomes the one that the code is written for."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, create_engine, event, inspect

from models.deleted_sources import DeletingRun
from models.error_event import Severity
from models.error_query import TrendPoint
from models.progress import RunOutcome
from models.run import DayTotal
from storage import database as database_module
from storage.audit_table import METADATA as AUDIT
from storage.database import Database
from storage.deletion_repository import DeletionRepository
from storage.deletion_table import METADATA as DELETIONS
from storage.error_hours import HOUR_LENGTH, trend
from storage.error_hours import METADATA as ERROR_HOURS
from storage.error_table import METADATA as ERRORS
from storage.job_successes import METADATA as SUCCESSES
from storage.layout import DATABASE_NAME
from storage.notification_table import METADATA as NOTIFICATIONS
from storage.run_days import METADATA as RUN_DAYS
from storage.run_repository import METADATA as RUNS
from storage.run_repository import RunRepository
from storage.untold_runs import METADATA as UNTOLD


def configured() -> Config:
    """Return what alembic needs to know."""
    config = Config()
    migrations = Path(database_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(migrations))
    return config


DRY_RUN_END = {"outcome": "completed", "ended_at": "2026-11-29T00:00:00.000Z"}
REVISIONS = [one.revision for one in ScriptDirectory.from_config(configured()).walk_revisions()]


def make(directory: Path, revision: str) -> None:
    """Make a database as an earlier version left it."""
    engine, config = create_engine(f"sqlite:///{directory / DATABASE_NAME}"), configured()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def columns_of(metadata: MetaData) -> dict[str, dict[str, tuple[str, bool, bool]]]:
    """Return by table and column the type, whether it may be empty, and whether it is a key."""
    return {
        table.name: {
            column.name: (str(column.type), bool(column.nullable), column.primary_key)
            for column in table.columns
        }
        for table in metadata.tables.values()
    }


def columns_in(directory: Path) -> dict[str, dict[str, tuple[str, bool, bool]]]:
    """Return the same of the tables that are there."""
    engine = create_engine(f"sqlite:///{directory / DATABASE_NAME}")
    looked = inspect(engine)
    found = {}
    for table in looked.get_table_names():
        keys = looked.get_pk_constraint(table)["constrained_columns"]
        found[table] = {
            column["name"]: (str(column["type"]), column["nullable"], column["name"] in keys)
            for column in looked.get_columns(table)
        }
    engine.dispose()
    found.pop("alembic_version")
    return found


def wanted_columns() -> dict[str, dict[str, tuple[str, bool, bool]]]:
    """Return the same of the tables that the code is written for."""
    written_for = (
        RUNS,
        RUN_DAYS,
        SUCCESSES,
        ERRORS,
        ERROR_HOURS,
        DELETIONS,
        NOTIFICATIONS,
        UNTOLD,
        AUDIT,
    )
    return {
        name: columns for metadata in written_for for name, columns in columns_of(metadata).items()
    }


@pytest.mark.parametrize("revision", REVISIONS)
async def test_each_version_becomes_what_the_code_is_written_for(
    tmp_path: Path, revision: str
) -> None:
    make(tmp_path, revision)
    database = await Database.open(tmp_path)
    await database.close()
    assert columns_in(tmp_path) == wanted_columns()


@contextmanager
def kept_as_a_kill_would_leave_it(directory: Path, copies: Path) -> Iterator[None]:
    """Copy the database before each statement, unless it is as it was before the last one."""
    kept: set[tuple[bytes, bytes]] = set()

    def keep(*_: object) -> None:
        database = directory / DATABASE_NAME
        log = directory / f"{DATABASE_NAME}-wal"
        state = database.read_bytes(), log.read_bytes() if log.exists() else b""
        if state not in kept:
            copy = copies / str(len(kept))
            copy.mkdir(parents=True)
            for path in (database, log):
                if path.exists():
                    shutil.copy(path, copy)
            kept.add(state)

    event.listen(Engine, "before_cursor_execute", keep)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", keep)


@pytest.mark.parametrize("revision", ["base", "0001", "0006"])
async def test_a_kill_before_any_statement_leaves_what_the_next_start_goes_on_with(
    tmp_path: Path, revision: str
) -> None:
    data, copies = tmp_path / "data", tmp_path / "copies"
    data.mkdir()
    make(data, revision)
    with kept_as_a_kill_would_leave_it(data, copies):
        database = await Database.open(data)
    await database.close()
    left = sorted(copies.iterdir())
    assert left
    for directory in left:
        database = await Database.open(directory)
        await database.close()
        assert columns_in(directory) == wanted_columns()


async def test_a_start_with_nothing_to_migrate_waits_for_nobody(tmp_path: Path) -> None:
    await (await Database.open(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
        other.execute("BEGIN IMMEDIATE")
        database = await Database.open(tmp_path)
    await database.close()


async def test_days_are_told_out_of_the_runs_of_before_they_were_counted(tmp_path: Path) -> None:
    make(tmp_path, "0005")
    runs = [(1, "2026-11-22T23:59:59.999Z", "completed", 5), (2, None, None, 7)]
    runs += [(number, "2026-11-23T00:00:00.000Z", "failed", 10) for number in (3, 4)]
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection, connection:
        for number, ended_at, outcome, sent in runs:
            values: dict[str, Any] = {
                "id": f"run-{number}",
                "ended_at": ended_at,
                "outcome": outcome,
            }
            values |= {"bytes_sent": sent, "phases": "[]", "notices": "[]", "attempt_times": "[]"}
            connection.execute(*_an_insert(values))
        connection.execute(*_an_insert(values | {"id": "dry", "kind": "dry_run"}))
    database = await Database.open(tmp_path)
    totals = await RunRepository(database).totals_by_day("2026-11-01")
    await database.close()
    assert totals == (
        DayTotal("2026-11-22", RunOutcome.COMPLETED, 1, 5),
        DayTotal("2026-11-23", RunOutcome.FAILED, 2, 20),
    )


async def test_the_last_success_is_told_out_of_the_runs_of_before_it_was_noted(
    tmp_path: Path,
) -> None:
    make(tmp_path, "0006")
    runs = [(1, "completed"), (2, "warning"), (3, "failed"), (4, None)]
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection, connection:
        for number, outcome in runs:
            values = {
                "id": f"run-{number}",
                "ended_at": outcome and f"2026-11-2{number}T00:00:00.000Z",
                "outcome": outcome,
                "bytes_sent": 0,
                "phases": "[]",
                "notices": "[]",
                "attempt_times": "[]",
            }
            connection.execute(*_an_insert(values))
        connection.execute(*_an_insert(values | {"id": "dry", "kind": "dry_run", **DRY_RUN_END}))
    database = await Database.open(tmp_path)
    found = await RunRepository(database).last_successes()
    await database.close()
    assert found == {"a": "2026-11-22T00:00:00.000Z"}


async def test_hours_are_told_out_of_the_events_of_before_they_were_counted(
    tmp_path: Path,
) -> None:
    make(tmp_path, "0007")
    texts = ("timestamp", "component", "error_type", "message", "details")
    events = [("22T23:59:59.999Z", "high", 2), ("23T00:00:00.000Z", "low", 1)]
    events.append(("23T00:59:59.000Z", "low", 4))
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection, connection:
        for number, (seen, severity, count) in enumerate(events):
            values: dict[str, Any] = dict.fromkeys(texts, "a")
            values |= {"fingerprint": str(number), "last_seen": f"2026-11-{seen}"}
            values |= {"severity": severity, "count": count}
            places = ", ".join(f":{name}" for name in values)
            connection.execute(
                f"INSERT INTO error_events ({', '.join(values)}) VALUES ({places})", values
            )
    database = await Database.open(tmp_path)
    points = await database.read(lambda connection: trend(connection, "2026-11-01", HOUR_LENGTH))
    await database.close()
    assert points == (
        TrendPoint("2026-11-22T23", Severity.HIGH, 2),
        TrendPoint("2026-11-23T00", Severity.LOW, 5),
    )


def _an_insert(given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    texts = ("job_id", "job_name", "engine", "source", "destination", "status", "queued_at")
    numbers = ("attempts", "bytes_done", "files_done", "files_skipped", "files_failed")
    values: dict[str, Any] = dict.fromkeys(texts, "a")
    values |= dict.fromkeys((*numbers, "files_deleted"), 0)
    values |= given
    places = ", ".join(f":{name}" for name in values)
    return f"INSERT INTO runs ({', '.join(values)}) VALUES ({places})", values


async def test_deletions_are_taken_into_a_database_of_before_there_were_any(tmp_path: Path) -> None:
    make(tmp_path, "0003")
    directory = tmp_path / "runs" / "run-1"
    directory.mkdir(parents=True)
    (directory / "deletions.jsonl").write_text(
        '{"format":1}\n{"n":1,"outcome":"kept","path":"a","reason":"b","t":"2026-11-26"}\n'
    )
    database = await Database.open(tmp_path)
    deletions = DeletionRepository(database, tmp_path)
    run = DeletingRun("run-1", "job", "Job", "/from", "/to", "2026-11-26T10:00:00.000Z")
    await deletions.take(run)
    known = await deletions.run("run-1")
    await database.close()
    assert known is not None
    assert (known.kept, known.deleted) == (1, 0)
