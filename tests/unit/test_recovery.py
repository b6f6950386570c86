"""Proves what a starting dashboard makes of the jobs that were under way when it ended."""

from __future__ import annotations

import pytest

from core.recovery import RecoveryReport, recover
from models import events
from models.events import JournalLine
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run_history import close_run
from tests.fakes.builders import a_job, a_run, a_spec
from tests.fakes.outside import World

END = "2026-11-23T13:00:00.000Z"
ENDED = JournalLine(
    END, events.RunEnded("completed", 1, 0, None, 0, 0, Progress(bytes_done=7, percent=100.0))
)


async def left_behind(
    world: World,
    status: JobStatus = JobStatus.RUNNING,
    *,
    job_id: str = "photos-0001",
    run_id: str = "run-1",
    in_history: bool = True,
    changed_at: str = "2026-11-23T12:00:00.000Z",
) -> None:
    """Leave a job in the state in which an earlier dashboard left it."""
    state = JobState(job_id, status=status, run_id=run_id, changed_at=changed_at)
    destination = f"/mnt/nas/{job_id}"
    await world.jobs.create(a_job(job_id, destination=destination), state)
    world.directories.specs[run_id] = a_spec(run_id=run_id, job_id=job_id)
    if in_history:
        await world.runs.add(a_run(run_id, job_id=job_id, status=status, destination=destination))


async def recovered(world: World) -> RecoveryReport:
    """Recover as a restarted dashboard does."""
    world.restart()
    return await recover(world.jobs, world.directories, world.manager)


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.STOPPING])
@pytest.mark.parametrize("in_history", [True, False])
async def test_a_living_run_is_adopted(status: JobStatus, in_history: bool) -> None:
    world = World()
    await left_behind(world, status, in_history=in_history)
    world.directories.held.add("run-1")
    assert await recovered(world) == RecoveryReport(adopted=("run-1",))
    assert world.sink.followed == ["run-1"]
    assert world.executor.submitted == []
    assert world.jobs.kept["photos-0001"].status is status
    # Who was to stop is told so again: the server may have ended before it said it.
    assert world.executor.stopped == (["run-1"] if status is JobStatus.STOPPING else [])
    # Its journal is folded by the monitor afterwards, and ends it.
    assert await world.manager.update_job_from_engine("run-1", [ENDED])
    assert world.jobs.kept["photos-0001"].status is JobStatus.COMPLETED


async def test_an_adopted_run_takes_a_place() -> None:
    world = World(limit=1)
    await left_behind(world)
    await left_behind(world, JobStatus.QUEUED, job_id="next-0002", run_id="run-2")
    world.directories.held.add("run-1")
    await recovered(world)
    assert world.executor.submitted == []
    assert world.jobs.kept["next-0002"].status is JobStatus.QUEUED
    await world.manager.update_job_from_engine("run-1", [ENDED])
    assert world.executor.submitted == ["run-2"]


async def test_a_run_that_ended_meanwhile_is_finished_by_its_journal() -> None:
    world = World()
    await left_behind(world)
    world.directories.journals["run-1"] = (ENDED,)
    assert await recovered(world) == RecoveryReport(finished=("run-1",))
    assert world.jobs.kept["photos-0001"].status is JobStatus.COMPLETED
    assert world.runs.kept["run-1"].ended_at == END
    assert world.runs.kept["run-1"].bytes_done == 7


async def test_a_result_counts_when_the_end_of_the_journal_is_missing() -> None:
    world = World()
    await left_behind(world)
    world.directories.results["run-1"] = ENDED
    await recovered(world)
    assert world.jobs.kept["photos-0001"].status is JobStatus.COMPLETED
    assert world.runs.kept["run-1"].outcome is RunOutcome.COMPLETED


async def test_a_run_whose_end_reached_the_history_alone_ends_its_job_too() -> None:
    """The machine stopped between the two saves of an end."""
    world = World()
    await left_behind(world)
    over = close_run(a_run("run-1"), RunOutcome.COMPLETED, ended_at=END, message=None)
    await world.runs.save(over)
    world.directories.journals["run-1"] = (ENDED,)
    await recovered(world)
    assert world.jobs.kept["photos-0001"].status is JobStatus.COMPLETED


@pytest.mark.parametrize("in_history", [True, False])
async def test_a_dead_run_is_interrupted(in_history: bool) -> None:
    world = World()
    await left_behind(world, in_history=in_history)
    half = Progress(phase="transfer", bytes_done=3)
    world.directories.journals["run-1"] = (JournalLine(END, events.ProgressMade(half)),)
    assert await recovered(world) == RecoveryReport(interrupted=("run-1",))
    state = world.jobs.kept["photos-0001"]
    assert state.status is JobStatus.INTERRUPTED
    assert state.progress == half
    assert world.runs.kept["run-1"].bytes_done == 3


async def test_queued_runs_go_on_in_their_order() -> None:
    world = World(limit=2)
    # In the order in which they were queued, whatever the clock was set to.
    for number, minute in ((2, 30), (3, 10), (1, 20)):
        await left_behind(
            world,
            JobStatus.QUEUED,
            job_id=f"job-{number}",
            run_id=f"run-{number}",
            changed_at=f"2026-11-23T12:{minute}:00.000Z",
        )
    assert await recovered(world) == RecoveryReport()
    assert world.executor.submitted == ["run-2", "run-3"]
    assert world.jobs.kept["job-1"].status is JobStatus.QUEUED


async def test_a_queued_run_that_the_history_lost_does_not_stop_the_start() -> None:
    world = World()
    await left_behind(world, JobStatus.QUEUED, in_history=False)
    await recovered(world)
    assert world.executor.submitted == ["run-1"]
    assert (await world.runs.get("run-1")).status is JobStatus.RUNNING


@pytest.mark.parametrize("status", ["pending", "paused", "completed", "failed", "interrupted"])
async def test_a_job_at_rest_is_left_alone(status: str) -> None:
    world = World()
    await left_behind(world, JobStatus(status))
    before = dict(world.jobs.kept)
    assert await recovered(world) == RecoveryReport()
    assert world.jobs.kept == before


async def test_a_run_whose_start_was_cut_off_before_any_job_named_it_is_forgotten() -> None:
    world = World()
    await left_behind(world, JobStatus.COMPLETED)
    await world.runs.add(a_run("run-2", status=JobStatus.QUEUED))
    await world.runs.add(a_run("run-3", status=JobStatus.RUNNING))
    world.directories.held.add("run-3")
    await recovered(world)
    assert "run-2" not in world.runs.kept
    assert "run-3" in world.runs.kept, "something of it lives"
