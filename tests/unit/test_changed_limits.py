"""Proves that other limits hold from now on: for what waits at once, for what is under way not."""

from __future__ import annotations

from dataclasses import replace

from core.new_run import RunLimits
from models.job_status import JobStatus
from tests.fakes.outside import World
from tests.fakes.scenes import ended, put_writing_to, status

LIMITS = RunLimits(max_concurrent_runs=1)
IDS = ("first-0001", "second-0002", "third-0003")


async def three_started() -> tuple[World, list[str]]:
    """Start three jobs of which one may run."""
    world = World(limit=1)
    for job_id in IDS:
        await put_writing_to(world, f"/mnt/{job_id}", job_id)
    return world, [await world.manager.start_job(job_id) for job_id in IDS]


async def test_a_queued_run_starts_when_there_is_room_for_it() -> None:
    world, runs = await three_started()
    await world.manager.use_limits(replace(LIMITS, max_concurrent_runs=2))
    assert world.executor.submitted == runs[:2]
    assert status(world, "third-0003") is JobStatus.QUEUED
    message = world.jobs.snapshot()["third-0003"].state.message
    assert message == "Waits for another run to end: at most 2 runs at once."


async def test_a_lower_limit_ends_nothing_and_holds_for_the_next() -> None:
    world, runs = await three_started()
    await world.manager.use_limits(replace(LIMITS, max_concurrent_runs=2))
    await world.manager.use_limits(LIMITS)
    assert status(world, "second-0002") is JobStatus.RUNNING
    await world.manager.update_job_from_engine(runs[0], [ended()])
    assert world.executor.submitted == runs[:2]
    await world.manager.update_job_from_engine(runs[1], [ended()])
    assert world.executor.submitted == runs


async def test_runs_begin_with_the_limits_of_their_start_and_keep_their_grace() -> None:
    world, runs = await three_started()
    limits = RunLimits(
        max_concurrent_runs=1,
        stop_grace_seconds=77,
        max_log_bytes=123_456,
        rclone_config="/etc/rclone.conf",
    )
    await world.manager.use_limits(limits)
    await world.manager.stop_job("third-0003")
    run_id = await world.manager.start_job("third-0003")
    spec = world.directories.specs[run_id]
    assert (spec.stop_grace_seconds, spec.max_log_bytes) == (77, 123_456)
    assert spec.rclone_config == "/etc/rclone.conf"

    await world.manager.stop_job("first-0001")
    assert world.sink.grace_seconds == {runs[0]: 10}


async def test_fewer_runs_are_kept_from_the_next_end_on() -> None:
    world = World()
    await put_writing_to(world, "/mnt/one", "first-0001")
    for _ in range(3):
        run_id = await world.manager.start_job("first-0001")
        await world.manager.update_job_from_engine(run_id, [ended()])
    assert len(world.runs.kept) == 3
    await world.manager.use_limits(RunLimits(kept_runs_per_job=2))
    run_id = await world.manager.start_job("first-0001")
    await world.manager.update_job_from_engine(run_id, [ended()])
    assert len(world.runs.kept) == 2
