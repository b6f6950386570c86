"""Proves what the commands leave behind when a runner, a disk or the database fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.interruptions import NEVER_BEGAN
from models import events
from models.errors import JobNotFound, SaveOutcomeUnknown, StorageFailed
from models.events import JournalLine
from models.job_status import JobStatus
from models.progress import RunOutcome
from tests.fakes.outside import World
from tests.fakes.scenes import END, ended, put, status


@pytest.fixture
def world() -> World:
    """A manager with room for one run, so that a place which is not given back is missed."""
    return World(limit=1)


async def test_a_runner_that_cannot_be_started_is_the_runs_failure(world: World) -> None:
    await put(world)
    world.executor.fails_with = "No module named core"
    run_id = await world.manager.start_job("photos-0001")
    assert status(world) == "failed"
    run = world.runs.kept[run_id]
    assert run.outcome is RunOutcome.FAILED
    assert "No module named core" in str(run.message)
    # Its place is free again.
    world.executor.fails_with = None
    await put(world, "other")
    assert await world.manager.start_job("other") in world.executor.submitted


@pytest.mark.parametrize("before", ["pending", "paused", "completed", "interrupted"])
@pytest.mark.parametrize("call", ["prepare", "add", "save_state"])
async def test_a_start_that_cannot_be_saved_leaves_nothing(
    world: World, call: str, before: str
) -> None:
    await put(world, status=JobStatus(before), message="old")
    for port in (world.jobs, world.runs, world.directories):
        port.failing.add(call)
    with pytest.raises(StorageFailed):
        await world.manager.start_job("photos-0001")
    assert status(world) == before
    state = world.jobs.kept["photos-0001"]
    assert (state.run_id, state.message) == (None, "old")
    assert world.runs.kept == {}
    assert world.directories.specs == {}
    assert world.executor.submitted == []
    # And the place is free again.
    for port in (world.jobs, world.runs, world.directories):
        port.failing.clear()
    assert await world.manager.start_job("photos-0001") in world.executor.submitted


async def test_a_database_that_fails_altogether_does_not_leave_a_job_running(world: World) -> None:
    await put(world)
    world.runs.failing |= {"add", "remove"}
    with pytest.raises(StorageFailed):
        await world.manager.start_job("photos-0001")
    assert status(world) == "pending"


@pytest.mark.parametrize(("port", "call"), [("runs", "save"), ("jobs", "save_state")])
async def test_an_end_that_could_not_be_saved_is_saved_the_next_time(
    world: World, port: str, call: str
) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    getattr(world, port).failing.add(call)
    with pytest.raises(StorageFailed):
        await world.manager.update_job_from_engine(run_id, [ended()])
    getattr(world, port).failing.clear()
    assert await world.manager.update_job_from_engine(run_id, [ended()])
    assert status(world) == "completed"
    assert world.runs.kept[run_id].outcome is RunOutcome.COMPLETED


async def test_a_dead_run_is_closed_by_its_result_if_it_left_one(world: World) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    world.directories.results[run_id] = ended("warning", message="Some files vanished.")
    await world.manager.close_dead_run(run_id)
    assert status(world) == "completed"
    assert world.jobs.kept["photos-0001"].message == "Some files vanished."
    await world.manager.close_dead_run(run_id)
    assert status(world) == "completed"


async def test_a_dead_run_without_a_result_is_interrupted(world: World) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    started = JournalLine(END, events.PhaseStarted("transfer"))
    await world.manager.update_job_from_engine(run_id, [started])
    await world.manager.close_dead_run(run_id)
    assert status(world) == "interrupted"
    run = world.runs.kept[run_id]
    assert run.outcome is RunOutcome.INTERRUPTED
    assert [phase.outcome for phase in run.phases] == ["interrupted"]
    assert world.jobs.kept["photos-0001"].message == NEVER_BEGAN
    assert replace(run, outcome=None).ended_at is not None


@pytest.mark.parametrize(("port", "call"), [("runs", "save"), ("jobs", "save_state")])
async def test_a_dead_run_that_could_not_be_closed_is_closed_the_next_time(
    world: World, port: str, call: str
) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    getattr(world, port).failing.add(call)
    with pytest.raises(StorageFailed):
        await world.manager.close_dead_run(run_id)
    getattr(world, port).failing.clear()
    await world.manager.close_dead_run(run_id)
    assert status(world) == "interrupted"


async def test_a_launch_that_was_not_confirmed_is_followed_and_ended() -> None:
    world = World(limit=1)
    await put(world, "first-0001")
    await put(world, "second-0002")
    first = await world.manager.start_job("first-0001")
    second = await world.manager.start_job("second-0002")
    await world.manager.update_job_from_engine(first, [])
    world.jobs.unconfirmed = True
    with pytest.raises(SaveOutcomeUnknown):
        await world.manager.update_job_from_engine(first, [ended()])
    world.jobs.unconfirmed = False
    assert await world.manager.update_job_from_engine(first, []), "its end was kept after all"
    world.jobs.unconfirmed = True
    with pytest.raises(SaveOutcomeUnknown):
        await world.manager.launch_queued()
    world.jobs.unconfirmed = False
    assert status(world, "second-0002") is JobStatus.RUNNING
    assert second in world.sink.followed, "the monitor finds it dead and ends it"
    await world.manager.close_dead_run(second)
    assert status(world, "second-0002") is JobStatus.INTERRUPTED
    assert await world.manager.start_job("first-0001")
    assert status(world, "first-0001") is JobStatus.RUNNING, "no place is lost"


async def test_a_start_whose_job_vanishes_leaves_nothing(world: World) -> None:
    await put(world)
    manager = world.manager
    world.jobs.vanishing = True
    with pytest.raises(JobNotFound):
        await manager.start_job("photos-0001")
    assert world.runs.kept == {}
    assert world.directories.specs == {}
