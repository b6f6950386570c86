"""Proves what the commands make of the queue, of runs whose runner died, and of old runs."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core import destinations
from core.destinations import Destinations
from core.interruptions import NEVER_BEGAN, NOT_OURS, RESTARTED, RUNNER_GONE, why_interrupted
from core.questions import Questions
from core.recovery import recover
from models.errors import JobIsActive
from models.job_status import JobStatus
from models.progress import RunOutcome
from tests.fakes.builders import a_run
from tests.fakes.outside import World
from tests.fakes.scenes import ended, put, put_writing_to, status
from utils.process_identity import boot_id, identify


@pytest.fixture
def world() -> World:
    """Everything in memory."""
    return World()


async def shown_message(world: World, job_id: str) -> str | None:
    """Return what readers are told of a job."""
    return world.jobs.snapshot()[job_id].state.message


async def test_two_jobs_on_one_place_run_one_after_the_other(world: World, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    await put_writing_to(world, str(tmp_path / "real" / "inner"), "first-0001")
    await put_writing_to(world, str(tmp_path / "link"), "second-0002")
    await put(world, "other-0003")
    first = await world.manager.start_job("first-0001")
    second = await world.manager.start_job("second-0002")
    other = await world.manager.start_job("other-0003")
    assert world.executor.submitted == [first, other]
    assert status(world, "second-0002") is JobStatus.QUEUED
    name = world.jobs.snapshot()["first-0001"].job.name
    told = f"Waits until “{name}” has ended, which writes to the same place."
    assert world.jobs.kept["second-0002"].message == told
    await world.manager.update_job_from_engine(first, [ended()])
    assert world.executor.submitted == [first, other, second]
    assert await shown_message(world, "second-0002") is None


async def test_what_a_run_waits_for_is_told_anew() -> None:
    world = World(limit=1)
    for job_id in ("first-0001", "second-0002", "third-0003"):
        await put_writing_to(world, "/mnt/nas/one" if job_id < "third" else "/mnt/two", job_id)
    first = await world.manager.start_job("first-0001")
    await world.manager.start_job("third-0003")
    await world.manager.start_job("second-0002")
    assert "writes to the same place" in str(await shown_message(world, "second-0002"))
    await world.manager.update_job_from_engine(first, [ended()])
    assert status(world, "third-0003") is JobStatus.RUNNING
    assert "at most 1 run at once" in str(await shown_message(world, "second-0002"))


async def test_the_queue_survives_a_restart_also_the_rule_of_places(world: World) -> None:
    await put_writing_to(world, "/mnt/nas/a", "first-0001")
    await put_writing_to(world, "/mnt/nas/a/b", "second-0002")
    first = await world.manager.start_job("first-0001")
    second = await world.manager.start_job("second-0002")
    world.restart()
    await recover(world.jobs, world.directories, world.manager)
    assert world.executor.submitted == [first]
    assert world.manager.has_waiting()
    await world.manager.update_job_from_engine(first, [ended()])
    assert world.executor.submitted == [first, second]
    assert not world.manager.has_waiting()


async def test_a_stopped_run_whose_runner_was_killed_is_paused(world: World) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.stop_job("photos-0001")
    assert world.sink.stopping == [run_id]
    await world.manager.close_dead_run(run_id)
    assert status(world) is JobStatus.PAUSED
    assert world.runs.kept[run_id].outcome is RunOutcome.PAUSED
    assert not world.jobs.kept["photos-0001"].stop_requested


async def test_a_job_without_its_runner_is_stopping_until_all_is_gone(world: World) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.stop_orphan(run_id)
    await world.manager.stop_orphan(run_id)
    assert status(world) is JobStatus.STOPPING
    assert "runner went away" in str(world.jobs.kept["photos-0001"].message)
    with pytest.raises(JobIsActive):
        await world.manager.start_job("photos-0001")
    await world.manager.close_dead_run(run_id)
    assert status(world) is JobStatus.INTERRUPTED


async def test_a_run_that_was_stopped_by_nobody_here_is_interrupted(world: World) -> None:
    """As by a machine that shuts down: its SIGTERM is to a runner what a stop is."""
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.update_job_from_engine(run_id, [ended("paused", message="Stopped.")])
    assert status(world) is JobStatus.INTERRUPTED
    assert world.runs.kept[run_id].outcome is RunOutcome.INTERRUPTED
    assert world.jobs.kept["photos-0001"].message == NOT_OURS


async def test_what_was_ended_from_outside_goes_on_by_itself() -> None:
    world = World(resume_interrupted=True)
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.update_job_from_engine(run_id, [ended("paused")])
    assert status(world) is JobStatus.RUNNING
    second = world.jobs.kept["photos-0001"].run_id
    assert second is not None
    await world.manager.stop_job("photos-0001")
    await world.manager.update_job_from_engine(second, [ended("paused")])
    assert status(world) is JobStatus.PAUSED, "a person's stop is none"


def test_the_reason_of_an_interruption() -> None:
    own = identify(os.getpid())
    assert own is not None
    assert why_interrupted(None) == NEVER_BEGAN
    assert why_interrupted(own) == RUNNER_GONE
    assert why_interrupted(own._replace(boot_id="another")) == RESTARTED
    assert own.boot_id == boot_id()


@pytest.mark.parametrize("resumes", [True, False])
async def test_an_interrupted_job_goes_on_by_itself_when_it_is_to(resumes: bool) -> None:
    world = World(resume_interrupted=resumes)
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.close_dead_run(run_id)
    assert world.runs.kept[run_id].outcome is RunOutcome.INTERRUPTED
    assert status(world) is (JobStatus.RUNNING if resumes else JobStatus.INTERRUPTED)
    assert [spec.resume for spec in world.directories.specs.values()] == [False, True][
        : 1 + resumes
    ]


async def test_a_job_that_is_cut_off_again_and_again_rests_in_the_end() -> None:
    world = World(resume_interrupted=True)
    await put(world)
    await world.manager.start_job("photos-0001")
    for _ in range(20):
        state = world.jobs.kept["photos-0001"]
        if state.status is JobStatus.INTERRUPTED:
            break
        assert state.run_id is not None
        await world.manager.close_dead_run(state.run_id)
    assert status(world) is JobStatus.INTERRUPTED
    assert len(world.runs.kept) == 6
    assert await world.manager.start_job("photos-0001"), "a person may still start it"


async def test_at_the_start_what_was_cut_off_goes_on_by_itself() -> None:
    world = World(resume_interrupted=True)
    await put(world, status=JobStatus.INTERRUPTED, run_id="run-1")
    await put(world, "paused-0002", status=JobStatus.PAUSED, run_id="run-2")
    await world.runs.add(
        a_run("run-1", status=JobStatus.INTERRUPTED, outcome=RunOutcome.INTERRUPTED)
    )
    await recover(world.jobs, world.directories, world.manager, resumes_interrupted=True)
    assert status(world) is JobStatus.RUNNING
    assert status(world, "paused-0002") is JobStatus.PAUSED


async def test_old_runs_are_forgotten_and_what_is_left_of_others(world: World) -> None:
    await put(world)
    outcomes = {"status": JobStatus.COMPLETED, "outcome": RunOutcome.COMPLETED}
    for number, day in enumerate(("2026-01-01", "2026-01-02", "2026-11-22")):
        time = f"{day}T10:00:00.000Z"
        run = replace(a_run(f"run-{number}"), **outcomes)  # type: ignore[arg-type]
        await world.runs.add(replace(run, queued_at=time, ended_at=time))
    world.directories.specs |= dict.fromkeys(("run-0", "run-1", "run-2", "stray"))  # type: ignore[arg-type]
    assert await world.manager.cleanup_stopped_engines() == 3
    assert set(world.runs.kept) == {"run-2"}
    assert set(world.directories.specs) == {"run-2"}
    assert await world.manager.cleanup_stopped_engines() == 0


async def test_the_last_run_of_a_job_is_kept_however_old_it_is(world: World) -> None:
    await put(world)
    old = replace(a_run("run-1"), status=JobStatus.FAILED, outcome=RunOutcome.FAILED)
    await world.runs.add(replace(old, ended_at="2020-01-01T10:00:00.000Z"))
    assert await world.manager.cleanup_stopped_engines() == 0
    assert set(world.runs.kept) == {"run-1"}


async def test_a_mount_that_hangs_delays_one_job_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go = threading.Event()
    real = os.path.realpath
    monkeypatch.setattr(destinations, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(
        os.path,
        "realpath",
        lambda path: (path == "/hung/a/../b" and let_go.wait(10), real(path))[1],
    )
    keys = Destinations(Questions())
    waiting = asyncio.create_task(keys.key_of("/hung/a/../b"))
    assert await keys.key_of("/proc/self/../self") == f"/proc/{os.getpid()}"
    assert await waiting == "/hung/b"
    let_go.set()
    assert await keys.key_of("rsync://nas/backup/") == "rsync://nas/backup"
