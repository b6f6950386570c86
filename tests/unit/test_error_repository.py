"""Proves that the error log is bounded, retries, gives up aloud, and never hurts who reports."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

from models.error_event import ErrorPage
from models.error_query import KeptErrors
from models.errors import StorageFailed
from storage import batch_writer as writer_module
from storage import database as database_module
from storage import error_hours as hours_module
from storage import kept_settlements
from storage.database import Database
from storage.dropped_entries import MAX_CROWDED_OUT
from storage.error_repository import ErrorRepository
from storage.layout import DATABASE_NAME
from storage.run_repository import RunRepository
from tests.fakes.builders import a_fault, a_run
from tests.support import wait_until_async
from utils.timestamps import utc_timestamp

_DAY = 24 * 60 * 60


class Disk:
    """A real database that a test can make refuse, or hold up, what is written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.refusals = 0
        self.defects = 0
        self.transactions = 0
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        """Write, unless the test forbids it."""
        self.transactions += 1
        await self.open.wait()
        if self.refusals:
            self.refusals -= 1
            raise StorageFailed("The database", "disk I/O error")
        if self.defects:
            self.defects -= 1
            raise ZeroDivisionError
        return await self._database.write(work)

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        """Read."""
        return await self._database.read(work)


@dataclass
class Scene:
    """An error log over such a disk; `seconds` is its clock."""

    database: Database
    disk: Disk
    seconds: float = field(default_factory=time.time)
    changes: int = 0

    def __post_init__(self) -> None:
        self.log = ErrorRepository(
            self.disk,  # type: ignore[arg-type]
            on_change=self._note,
            clock=lambda: self.seconds,
        )

    def report(self, *messages: str, **fields: object) -> None:
        """Report faults."""
        for message in messages:
            self.log.report(a_fault(message=message, **fields))

    async def messages(self, **wanted: Any) -> list[str]:
        """Return what is written, newest first."""
        await self.log.flush()
        return [event.message for event in (await self.log.list_events(**wanted)).items]

    async def until_held(self) -> None:
        """Wait until the writer stands before the closed disk."""
        before = self.disk.transactions
        self.disk.open.clear()
        self.report("held")

        async def is_held() -> bool:
            return self.disk.transactions > before

        await wait_until_async(is_held, what="the writer at the disk")

    def _note(self) -> None:
        self.changes += 1


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """An empty error log."""
    database = await Database.open(tmp_path)
    made = Scene(database, Disk(database))
    yield made
    made.disk.open.set()
    await made.log.close()
    await database.close()


async def test_faults_reported_at_once_are_one_transaction(scene: Scene) -> None:
    scene.report("a", "b", "c", "a")
    assert await scene.messages() == ["c", "b", "a"]
    assert scene.disk.transactions == 1
    assert scene.changes == 1


async def test_a_batch_follows_another_after_a_pause_unless_somebody_waits(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "PAUSE_SECONDS", 60.0)
    scene.report("a")

    async def is_written() -> bool:
        return scene.changes == 1

    await wait_until_async(is_written, what="the first batch")
    scene.report("b")
    for _ in range(10):
        # The writing thread would have done the second batch in between.
        await scene.database.write(lambda _: None)
    assert scene.changes == 1
    await asyncio.wait_for(scene.log.flush(), 5)
    assert scene.changes == 2


async def test_a_storm_of_one_fault_takes_one_place(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.log.queue.max_waiting = 3
    await scene.until_held()
    scene.report("other", *["storm"] * 1000)
    scene.disk.open.set()
    assert await scene.messages() == ["storm", "other", "held"]
    assert [event.count for event in (await scene.log.list_events()).items] == [1000, 1, 1]
    assert scene.log.dropped_count == 0


async def test_a_storm_of_distinct_faults_is_written_or_counted_and_floods_no_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    many = 3 * writer_module.MAX_WAITING
    await scene.until_held()
    scene.report(*(f"storm {number}" for number in range(many)))
    dropped = many - writer_module.MAX_WAITING
    assert scene.log.dropped_count == dropped
    assert scene.log.waiting_count == writer_module.MAX_WAITING + len(["held"])
    assert caplog.text == "", "whoever reports does not wait for the log’s file"
    scene.disk.open.set()

    await scene.log.flush()

    assert (await scene.log.list_events()).total == writer_module.MAX_WAITING + len(["held"])
    assert scene.log.waiting_count == 0
    assert caplog.text.count("message='storm ") == MAX_CROWDED_OUT
    assert f"nor are {dropped - MAX_CROWDED_OUT} others" in caplog.text


async def test_when_too_many_wait_the_oldest_goes_and_is_logged(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene.log.queue.max_waiting = 3
    await scene.until_held()
    scene.report("a", "b", "c", "d", "e")
    # The place of one that went is not added to.
    scene.report("a")
    assert scene.log.dropped_count == 3
    scene.disk.open.set()
    assert await scene.messages() == ["a", "e", "d", "held"]
    for message in ("a", "b", "c"):
        assert f"message='{message}'" in caplog.text
    assert "message='e'" not in caplog.text


async def test_what_the_database_refuses_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", (0.01, 0.01))
    scene.disk.refusals = 2
    scene.report("a")

    async def is_written() -> bool:
        return (await scene.log.list_events()).total == 1

    await wait_until_async(is_written, what="the third attempt")
    assert (scene.log.dropped_count, scene.log.is_failing) == (0, False)
    assert "disk I/O error" in caplog.text
    assert scene.changes == 1


async def test_who_waits_does_not_hurry_the_attempts_but_a_database_that_works_does(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", (60.0, 60.0))
    scene.log.try_again()
    scene.disk.refusals = 1
    scene.report("a")
    flush = asyncio.create_task(scene.log.flush())

    async def is_failing() -> bool:
        return scene.log.is_failing

    await wait_until_async(is_failing, what="the refusal")
    for _ in range(10):
        # The writing thread would have done the second attempt in between.
        await scene.database.write(lambda _: None)
    assert scene.disk.transactions == 1
    scene.log.try_again()
    await asyncio.wait_for(flush, 5)
    assert await scene.messages() == ["a"]
    assert not scene.log.is_failing


async def test_what_is_refused_again_and_again_is_given_up_and_logged(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", (0.01,) * 4)
    scene.disk.refusals = len(writer_module.RETRY_SECONDS) + 1
    scene.report("a", "b")
    await asyncio.wait_for(scene.log.flush(), 5)
    assert scene.disk.refusals == 0
    assert (scene.log.dropped_count, scene.log.is_failing, scene.changes) == (2, True, 0)
    assert "message='a'" in caplog.text
    assert "message='b'" in caplog.text
    scene.report("c")
    assert await scene.messages() == ["c"]
    assert not scene.log.is_failing


@pytest.mark.parametrize("is_anything_new", [True, False])
async def test_the_end_of_a_fault_outlives_a_batch_that_is_given_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, is_anything_new: bool
) -> None:
    scene.report("a", job_id="a")
    await scene.log.flush()
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", (0.01, 0.1))
    scene.disk.refusals = 3
    scene.report("lost")
    scene.log.settle(error_type="DiskFull", job_id="a")
    await asyncio.wait_for(scene.log.flush(), 5)
    assert (scene.log.dropped_count, scene.log.waiting_count) == (1, 1)
    if is_anything_new:
        scene.report("b", job_id="a")

    async def is_settled() -> bool:
        return scene.log.waiting_count == 0

    await wait_until_async(is_settled, what="the settlement")
    assert await scene.messages(resolved=True) == ["a"]
    assert await scene.messages(resolved=False) == ["b"] * is_anything_new
    assert scene.log.dropped_count == 1


async def test_the_end_of_a_fault_makes_no_room_and_is_kept_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.log.queue.max_waiting = 2
    monkeypatch.setattr(kept_settlements, "MAX_KEPT", 2)
    scene.report("a", job_id="a")
    scene.report("b", job_id="b")
    await scene.log.flush()
    await scene.until_held()
    for _ in range(2):
        for job_id in ("a", "b", "c"):
            scene.log.settle(error_type="DiskFull", job_id=job_id)
            scene.report(f"storm {job_id}")
    # Of twelve two wait, two are kept, and c was one too many.
    assert scene.log.waiting_count == 2 + 2 + len(["held"])
    scene.disk.open.set()
    assert await scene.messages(resolved=True) == ["b", "a"]
    assert await scene.messages(resolved=False) == ["storm c", "held"]
    assert scene.log.waiting_count == 0


async def test_closing_leaves_no_end_of_a_fault_unsaid(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", (0.01, 60.0))
    scene.disk.refusals = 100
    scene.log.settle(error_type="DiskFull", job_id="a")

    async def is_tried_again() -> bool:
        return scene.disk.refusals == 98

    await wait_until_async(is_tried_again, what="the second attempt")
    await asyncio.wait_for(scene.log.close(), 5)
    assert "Settlement(error_type='DiskFull', job_id='a'" in caplog.text
    assert (scene.log.dropped_count, scene.log.waiting_count) == (1, 0)


async def test_a_defect_costs_its_batch_and_not_the_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.disk.defects = 1
    scene.report("a")
    await asyncio.wait_for(scene.log.flush(), 5)
    scene.report("b")
    assert await scene.messages() == ["b"]
    assert scene.log.dropped_count == 1
    assert "ZeroDivisionError" in caplog.text


async def test_flush_waits_for_what_was_reported_before_it_alone(scene: Scene) -> None:
    await scene.until_held()
    flushes = [asyncio.create_task(scene.log.flush()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(flush.done() for flush in flushes)
    scene.disk.open.set()
    await asyncio.wait_for(asyncio.gather(*flushes), 5)
    assert (await scene.log.list_events()).total == 1


async def test_closing_tries_once_and_logs_what_is_left(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.disk.refusals = 100
    scene.report("a")
    async with asyncio.timeout(5):
        await scene.log.close()
    scene.report("too late")
    assert scene.disk.refusals == 99
    assert scene.log.dropped_count == 2
    assert "message='a'" in caplog.text
    assert "message='too late'" in caplog.text
    assert all(record.levelno >= logging.WARNING for record in caplog.records)


async def test_closing_does_not_wait_for_a_retry(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", (60.0,))
    scene.disk.refusals = 1
    scene.report("a")

    async def is_failing() -> bool:
        return scene.log.is_failing

    await wait_until_async(is_failing, what="the refusal")
    await asyncio.wait_for(scene.log.close(), 5)
    assert (await scene.log.list_events()).total == 1


async def test_who_listens_is_told_of_what_changed_and_of_nothing_else(scene: Scene) -> None:
    scene.log.settle(error_type="DiskFull", job_id="nobody")
    await scene.log.flush()
    assert scene.changes == 0
    scene.report("a", job_id="a")
    await scene.log.flush()
    scene.log.settle(error_type="DiskFull", job_id="a")
    await scene.log.flush()
    assert scene.changes == 2
    (event,) = (await scene.log.list_events()).items
    await scene.log.resolve(event.id)
    assert scene.changes == 2
    scene.report("b")
    await scene.log.flush()
    (event,) = (await scene.log.list_events(resolved=False)).items
    await scene.log.resolve(event.id)
    assert scene.changes == 4


async def test_resolved_events_are_forgotten_after_ninety_days(scene: Scene) -> None:
    scene.report("open")
    scene.report("old", job_id="old")
    scene.log.settle(error_type="DiskFull", job_id="old")
    assert await scene.messages() == ["old", "open"]
    scene.seconds += 89.9 * _DAY
    scene.report("a")
    assert await scene.messages() == ["a", "old", "open"]
    scene.seconds += 0.2 * _DAY
    scene.report("b")
    assert await scene.messages() == ["b", "a", "open"]


async def test_beyond_the_limit_the_oldest_go_and_resolved_ones_first(scene: Scene) -> None:
    scene.log.kept = KeptErrors(count=4)
    scene.report("1", "2")
    scene.report("3", job_id="done")
    scene.log.settle(error_type="DiskFull", job_id="done")
    scene.report("4", "5")
    assert await scene.messages() == ["5", "4", "2", "1"]
    scene.report("6", "7", "8")
    assert await scene.messages() == ["8", "7", "6", "5"]


async def test_an_id_is_never_given_again(scene: Scene) -> None:
    scene.log.kept = KeptErrors(count=1)
    scene.report("a")
    await scene.log.flush()
    (first,) = (await scene.log.list_events()).items
    await scene.log.resolve(first.id)
    scene.log.kept = KeptErrors(count=0)
    scene.report("b")
    assert await scene.messages() == []
    scene.log.kept = KeptErrors(count=1)
    scene.report("c")
    await scene.log.flush()
    (third,) = (await scene.log.list_events()).items
    assert int(third.id) == int(first.id) + 2


async def test_what_is_kept_no_longer_goes_without_a_new_fault(scene: Scene) -> None:
    scene.report("open", "old")
    (old, _) = (await _written(scene)).items
    await scene.log.resolve(old.id)
    before = scene.changes
    await scene.log.forget_old()
    assert scene.changes == before
    scene.seconds += 2 * _DAY
    scene.log.kept = KeptErrors(resolved_days=1)
    await scene.log.forget_old()
    assert await scene.messages() == ["open"]
    assert scene.changes == before + 1


async def _written(scene: Scene) -> ErrorPage:
    await scene.log.flush()
    return await scene.log.list_events()


async def test_hours_outlive_events_and_are_bounded_by_number(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hours_module, "MAX_HOURS", 3)
    scene.log.kept = KeptErrors(count=1)
    start = scene.seconds
    for number in range(5):
        scene.seconds = start + number * 3600
        scene.report(str(number))
        scene.report(str(number))
        await scene.log.flush()
    points = (await scene.log.statistics()).hours
    expected = [utc_timestamp(start + number * 3600)[:13] for number in (2, 3, 4)]
    assert [(point.time, point.count) for point in points] == [(hour, 2) for hour in expected]
    scene.seconds = start + 52 * 3600
    assert [point.time for point in (await scene.log.statistics()).hours] == []
    assert sum(point.count for point in (await scene.log.statistics()).days) == 6


async def test_the_history_of_an_earlier_version_is_kept(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / DATABASE_NAME}")
    config = Config()
    migrations = Path(database_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(migrations))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        columns = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(runs)")]
        connection.exec_driver_sql(
            f"INSERT INTO runs ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})",
            tuple(_stored_run(columns)),
        )
    engine.dispose()

    database = await Database.open(tmp_path)
    assert await RunRepository(database).get("run-1") == a_run()
    log = ErrorRepository(database)
    assert (await log.list_events()).total == 0
    await log.close()
    await database.close()


def _stored_run(columns: list[str]) -> list[Any]:
    run = a_run()
    return ["[]" if name == "phases" else getattr(run, name) for name in columns]
