"""Proves that taking over the records of deletions holds up nothing, and that none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from core import deletion_intake
from core.recovery import recover
from models.deleted_sources import DeletingRun
from models.errors import StorageFailed
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run_history import close_run
from models.source_deletions import Deletion
from tests.fakes.builders import NOON, a_run, a_spec
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.outside import World
from tests.fakes.scenes import END, ended, put, status
from tests.support import wait_until_async

RECORD = [Deletion(1, "a", "deleted", NOON)]


@asynccontextmanager
async def at_work(world: World, log: InMemoryErrorLog) -> AsyncIterator[None]:
    """Let the intake's loop run."""
    task = asyncio.create_task(world.manager.intake.run(log))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def a_run_that_deletes(
    world: World, run_id: str = "run-1", job_id: str = "photos-0001"
) -> None:
    """Let a run be under way that has left a record."""
    await put(world, job_id, status=JobStatus.RUNNING, run_id=run_id)
    await world.runs.add(a_run(run_id, job_id=job_id))
    spec = a_spec(run_id=run_id, job_id=job_id, source_deletion="per_file")
    await world.directories.prepare(spec)
    world.deletions.records[run_id] = RECORD


async def is_on_record(world: World, run_id: str = "run-1") -> bool:
    """Whether a run's record was taken over."""
    return await world.deletions.run(run_id) is not None


async def until(condition: Callable[[], bool], *, what: str) -> None:
    """Wait until something holds."""

    async def holds() -> bool:
        return condition()

    await wait_until_async(holds, what=what)


class SlowRecord:
    """A record that takes as long to take over as the test wants."""

    def __init__(self, world: World) -> None:
        self._take = world.deletions.take
        self.is_read = asyncio.Event()

    async def take(self, run: DeletingRun) -> None:
        """Take it once the test lets it be."""
        await self.is_read.wait()
        await self._take(run)


async def test_a_long_record_holds_up_neither_the_end_of_its_run_nor_another_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    slow = SlowRecord(world)
    monkeypatch.setattr(world.deletions, "take", slow.take)
    await a_run_that_deletes(world)
    await a_run_that_deletes(world, "run-2", "other-0001")
    async with at_work(world, InMemoryErrorLog()), asyncio.timeout(5):
        assert await world.manager.update_job_from_engine("run-1", [ended()])
        assert await world.manager.update_job_from_engine("run-2", [ended()])
        assert status(world) is status(world, "other-0001") is JobStatus.COMPLETED
        assert not await is_on_record(world)
        world.sink.changed.clear()

        slow.is_read.set()
        await until(lambda: len(world.deletions.runs) == 2, what="both records")

        # So that whoever looks at the run's page sees it.
        await until(lambda: len(world.sink.changed) == 2, what="the news of it")
        assert world.sink.changed == ["photos-0001", "other-0001"]


async def test_the_directory_stays_until_its_record_was_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    slow = SlowRecord(world)
    monkeypatch.setattr(world.deletions, "take", slow.take)
    await a_run_that_deletes(world)
    async with at_work(world, InMemoryErrorLog()), asyncio.timeout(5):
        await world.manager.update_job_from_engine("run-1", [ended()])
        deletion = asyncio.create_task(world.manager.delete_job("photos-0001"))
        await until(lambda: "run-1" not in world.runs.kept, what="the forgotten run")
        assert await world.directories.spec("run-1") is not None

        slow.is_read.set()
        await deletion

    assert await is_on_record(world)
    assert await world.directories.spec("run-1") is None


async def test_a_directory_whose_record_cannot_be_taken_over_is_kept() -> None:
    world = World()
    await a_run_that_deletes(world)
    await world.manager.update_job_from_engine("run-1", [ended()])
    world.deletions.failing.add("take")

    await world.manager.delete_job("photos-0001")

    assert await world.directories.spec("run-1") is not None
    world.deletions.failing.clear()
    await world.manager.intake.settle("run-1")
    assert await is_on_record(world)


async def test_what_fails_is_told_holds_up_no_other_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deletion_intake, "RETRY_SECONDS", 0.05)
    world, log = World(), InMemoryErrorLog()
    take, bad = world.deletions.take, True

    async def refuse_one(run: DeletingRun) -> None:
        if run.run_id == "run-1" and bad:
            raise StorageFailed("Reading the record of deletions", "Input/output error")
        await take(run)

    monkeypatch.setattr(world.deletions, "take", refuse_one)
    await a_run_that_deletes(world)
    await a_run_that_deletes(world, "run-2", "other-0001")
    async with at_work(world, log), asyncio.timeout(5):
        for run_id in ("run-1", "run-2"):
            await world.manager.update_job_from_engine(run_id, [ended()])
        await until(lambda: "run-2" in world.deletions.runs, what="the other record")
        (event,) = log.unresolved
        assert "run-1" in event.message
        assert "Input/output error" in event.message
        assert not await is_on_record(world)

        bad = False
        await until(lambda: "run-1" in world.deletions.runs, what="another attempt")
        await until(lambda: log.unresolved == [], what="the end of the trouble")


async def test_what_an_earlier_dashboard_did_not_come_to_is_taken_over() -> None:
    world = World()
    await put(world, status=JobStatus.COMPLETED, run_id="run-1")
    run = close_run(a_run("run-1"), RunOutcome.COMPLETED, ended_at=END, message=None)
    await world.runs.add(run)
    await world.directories.prepare(a_spec(source_deletion="per_file", trash_days=3))
    world.deletions.records = {"run-1": RECORD, "unknown to the history": RECORD}

    await recover(world.jobs, world.directories, world.manager)
    await world.manager.intake.settle("run-1")

    kept = await world.deletions.run("run-1")
    assert kept is not None
    assert (kept.ended_at, kept.deleted) == (END, 1)
    assert kept.trash_until == "2026-11-26T13:00:00.000Z"
