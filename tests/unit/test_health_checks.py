"""Proves what the checks of database and monitor tell, each forced: locks, read-only, a lost file,
a monitor that hangs, works or is gone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.health import Finding
from core.job_manager import JobManager
from fastapi_app import background, health_checks
from fastapi_app.background import Monitor
from fastapi_app.health_checks import DatabaseLook, MonitorLook
from fastapi_app.journal_watch import JournalWatch
from models.errors import StorageFailed
from models.health import Reason
from storage import database as database_room
from storage.database import Database
from storage.layout import DATABASE_NAME
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.outside import InMemoryRunDirectories, World


@pytest_asyncio.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database whose writers are less patient than usual."""
    monkeypatch.setattr(database_room, "_BUSY_MILLISECONDS", 700)
    opened = await Database.open(tmp_path)
    yield opened
    await opened.close()


def locked(path: Path) -> sqlite3.Connection:
    """Return a connection that keeps everybody from writing, as another program would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


async def test_the_database_is_written_and_read_and_has_its_schema(
    database: Database, tmp_path: Path
) -> None:
    look = DatabaseLook(database, tmp_path / DATABASE_NAME).look
    numbers = []
    for _ in range(2):
        finding = await look()
        assert finding.reasons == ()
        with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
            (schema,) = other.execute("SELECT version_num FROM alembic_version").fetchone()
            assert finding.figures["schema_version"] == schema
            numbers.append(other.execute("PRAGMA user_version").fetchone()[0])
    assert numbers == [1, 2]


async def test_anothers_lock_is_told_from_a_write_of_its_own(
    database: Database, tmp_path: Path
) -> None:
    look = DatabaseLook(database, tmp_path / DATABASE_NAME).look

    def write(connection: Any) -> None:
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('x')")
        connection.rollback()

    with closing(locked(tmp_path / DATABASE_NAME)):
        finding = await look()
        assert (finding.reasons, finding.detail) == ((Reason.LOCKED,), "database is locked")
        waiting = asyncio.create_task(database.write(write))
        await asyncio.sleep(0)
        assert (await look()).reasons == (Reason.LOCKED,), "it is known already whose lock it is"
        fresh = DatabaseLook(database, tmp_path / DATABASE_NAME).look
        assert (await fresh()).reasons == (Reason.BUSY,), "it may be the write's own"
        with pytest.raises(StorageFailed):
            await waiting
        waiting = asyncio.create_task(database.write(write))
        await asyncio.sleep(0)
        fresh = DatabaseLook(database, tmp_path / DATABASE_NAME).look
        assert (await fresh()).reasons == (Reason.LOCKED,), "a write failed at it"
    await asyncio.gather(waiting, return_exceptions=True)
    await database.write(lambda _connection: None)
    assert database.failed_writes == 0
    assert (await look()).reasons == ()


async def test_a_database_that_is_gone_or_none_is_told_and_not_made_anew(
    database: Database, tmp_path: Path
) -> None:
    nowhere = tmp_path / "gone.db"
    finding = await DatabaseLook(database, nowhere).look()
    assert (finding.reasons, nowhere.exists()) == ((Reason.WRITE_FAILED,), False)
    assert str(tmp_path) not in (finding.detail or "")
    nowhere.write_bytes(b"no database at all" * 1000)
    assert (await DatabaseLook(database, nowhere).look()).reasons == (Reason.DAMAGED,)


class Page:
    """Takes the place of the hub."""

    client_count = 0


class HangingDirectories(InMemoryRunDirectories):
    """Run directories that do not answer while a test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.answers.set()

    async def look(self, *arguments: Any, **options: Any) -> Any:
        await self.answers.wait()
        return await super().look(*arguments, **options)


class MonitorScene:
    """A monitor in memory, and how it is."""

    def __init__(self, directory: Path) -> None:
        self.directories = HangingDirectories()
        self.world = World(directories=self.directories)
        self.monitor = Monitor(
            Page(),  # type: ignore[arg-type]
            self.directories,
            self.world.executor,
            lambda run_id: directory / run_id,
            InMemoryErrorLog(),
            grace_seconds=1,
        )
        self.look = MonitorLook(self.monitor, Page()).look  # type: ignore[arg-type]
        self.task: asyncio.Task[None] | None = None

    def follow(self, manager: JobManager) -> None:
        """Let it run."""
        self.task = asyncio.create_task(self.monitor.run(manager))

    async def end(self) -> None:
        """End it."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, is_so: Callable[[Finding], bool]) -> Finding:
        """Look until something is so."""
        async with asyncio.timeout(20):
            while not is_so(finding := await self.look()):
                await asyncio.sleep(0.01)
        return finding


@pytest_asyncio.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MonitorScene]:
    """A monitor that has to answer quickly."""
    monkeypatch.setattr(health_checks, "_BEAT_SECONDS", 0.1)
    monkeypatch.setattr(health_checks, "_LONG_TURN_SECONDS", 0.3)
    monkeypatch.setattr(background, "ROUND_SECONDS", 0.01)
    one = MonitorScene(tmp_path)
    yield one
    await one.end()


async def test_a_monitor_at_rest_proves_that_it_lives(scene: MonitorScene) -> None:
    assert (await scene.look()).reasons == (Reason.ENDED,), "it has not begun"
    scene.follow(scene.world.manager)
    finding = await scene.until(lambda finding: not finding.reasons)
    assert finding.figures["last_turn_seconds"] < 1
    assert scene.monitor._beats == []
    await scene.end()
    assert (await scene.look()).reasons == (Reason.ENDED,)


async def test_a_monitor_that_hangs_in_a_turn_is_told_and_one_that_works_is_not(
    scene: MonitorScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.health.LONG_HUNG_SECONDS", 0.6)
    scene.follow(scene.world.manager)
    await scene.until(lambda finding: not finding.reasons)
    scene.directories.answers.clear()
    scene.monitor.run_started("a-run")
    async with asyncio.timeout(20):
        while scene.monitor.turn_seconds is None:
            await asyncio.sleep(0)
    assert (await scene.look()).reasons == (), "a turn may take its time"
    finding = await scene.until(lambda finding: bool(finding.reasons))
    assert finding.reasons == (Reason.HUNG,)
    finding = await scene.until(lambda finding: finding.reasons != (Reason.HUNG,))
    assert finding.reasons == (Reason.LONG_HUNG,)
    assert finding.hung_seconds is not None
    assert finding.hung_seconds >= 0.6
    assert scene.monitor._beats == [], "what nobody waits for any more is not kept"
    scene.directories.answers.set()
    await scene.until(lambda finding: not finding.reasons)


async def test_a_monitor_that_hangs_at_rest_is_told_at_once(
    scene: MonitorScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(_self: JournalWatch, _seconds: float | None) -> set[str]:
        await asyncio.Event().wait()
        return set()

    monkeypatch.setattr(JournalWatch, "written", deaf)
    scene.follow(scene.world.manager)
    await asyncio.sleep(0)
    finding = await scene.look()
    assert finding.reasons == (Reason.HUNG,)
    assert finding.hung_seconds is not None
