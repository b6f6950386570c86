"""Proves the commands on jobs and runs against ports in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.new_run import RunLimits
from models import events
from models.errors import (
    FileFailed,
    InvalidDefinition,
    JobIsActive,
    JobNotFound,
    NothingToDiscard,
    NothingToStop,
    RunNotFound,
    StorageFailed,
    VersionConflict,
)
from models.events import JournalLine
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run_history import close_run
from tests.fakes.builders import a_definition, a_job, a_run
from tests.fakes.outside import World
from tests.fakes.scenes import END, ended, put, status


@pytest.fixture
def world() -> World:
    """A manager with room for two runs."""
    return World(limit=2)


async def test_create(world: World, tmp_path: Path) -> None:
    definition = a_definition(name="Grüße & <b>", source=str(tmp_path), destination="/nowhere")
    job_id = await world.manager.create_job(definition)
    record = world.jobs.snapshot()[job_id]
    assert job_id.startswith(("grue-b-", "gru-e-b-"))
    assert (record.job.name, record.job.version) == ("Grüße & <b>", 1)
    assert record.state.status is JobStatus.PENDING
    assert world.sink.changed == [job_id]


@pytest.mark.parametrize("name", ["🚢", "日本", "---", "x" * 120])
async def test_every_name_gives_a_good_id(world: World, tmp_path: Path, name: str) -> None:
    definition = a_definition(name=name, source=str(tmp_path), destination="/nowhere")
    ids = {await world.manager.create_job(definition) for _ in range(3)}
    assert len(ids) == 3
    assert set(world.jobs.snapshot()) == ids


async def test_create_tells_all_faults_at_once_and_keeps_nothing(world: World) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        await world.manager.create_job(
            a_definition(name="", source="/nowhere/at/all", destination="host:path")
        )
    assert [fault.field for fault in caught.value.faults] == ["name", "destination", "source"]
    assert not world.jobs.snapshot()


async def test_create_that_cannot_be_saved_leaves_nothing(world: World, tmp_path: Path) -> None:
    world.jobs.failing.add("create")
    with pytest.raises(StorageFailed):
        await world.manager.create_job(a_definition(source=str(tmp_path), destination="/nowhere"))
    assert not world.jobs.snapshot()
    assert not world.sink.changed


async def test_update(world: World, tmp_path: Path) -> None:
    await put(world)
    definition = a_definition(name="New", source=str(tmp_path), destination="/nowhere")
    await world.manager.update_job("photos-0001", definition, expected_version=1)
    job = world.jobs.snapshot()["photos-0001"].job
    assert (job.name, job.version, job.id) == ("New", 2, "photos-0001")
    assert job.created_at == a_job().created_at
    with pytest.raises(VersionConflict) as caught:
        await world.manager.update_job("photos-0001", definition, expected_version=1)
    assert (caught.value.expected, caught.value.current) == (1, 2)


async def test_of_two_updates_at_once_one_is_refused(world: World, tmp_path: Path) -> None:
    await put(world)
    results = await asyncio.gather(
        *(
            world.manager.update_job(
                "photos-0001",
                a_definition(name=name, source=str(tmp_path), destination="/nowhere"),
                expected_version=1,
            )
            for name in ("One", "Two")
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results].count(VersionConflict) == 1
    assert world.jobs.snapshot()["photos-0001"].job.version == 2


async def test_start(world: World) -> None:
    await put(world, status=JobStatus.PAUSED, message="Stopped.", progress=Progress(percent=50.0))
    run_id = await world.manager.start_job("photos-0001")
    state = world.jobs.kept["photos-0001"]
    assert (state.status, state.run_id, state.progress) == ("running", run_id, None)
    assert world.executor.submitted == world.sink.followed == [run_id]
    assert world.directories.specs[run_id].resume is True
    assert world.directories.specs[run_id].tool_path == "/usr/bin/tool"
    assert world.runs.kept[run_id].status is JobStatus.RUNNING


@pytest.mark.parametrize("before", list(JobStatus))
async def test_start_from_every_status(world: World, before: JobStatus) -> None:
    run_id = "r" if before in {"queued", "running", "stopping"} else None
    await put(world, status=before, run_id=run_id)
    if run_id:
        with pytest.raises(JobIsActive) as caught:
            await world.manager.start_job("photos-0001")
        assert (caught.value.status, caught.value.command) == (before, "start")
        assert world.executor.submitted == []
    else:
        started = await world.manager.start_job("photos-0001")
        resumes = before in {"paused", "interrupted", "failed"}
        assert world.directories.specs[started].resume is resumes


async def test_concurrent_starts_of_one_job_start_one_run(world: World) -> None:
    await put(world)
    results = await asyncio.gather(
        *(world.manager.start_job("photos-0001") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, JobIsActive) for result in results) == 4
    assert len(world.executor.submitted) == len(world.runs.kept) == 1


async def test_no_more_runs_than_allowed_and_the_oldest_comes_next(world: World) -> None:
    ids = [await put(world, f"job-{number}") for number in range(5)]
    runs = [await world.manager.start_job(job_id) for job_id in ids]
    assert world.executor.submitted == runs[:2]
    assert [status(world, job_id) for job_id in ids[2:]] == ["queued"] * 3
    told = "Waits for another run to end: at most 2 runs at once."
    assert world.jobs.kept["job-4"].message == told
    assert await world.manager.update_job_from_engine(runs[1], [ended()])
    assert world.executor.submitted == [*runs[:2], runs[2]]
    assert await world.manager.update_job_from_engine(runs[0], [ended("failed")])
    assert world.executor.submitted == [*runs[:2], runs[2], runs[3]]
    assert [status(world, job_id) for job_id in ids] == [
        "failed",
        "completed",
        "running",
        "running",
        "queued",
    ]
    assert world.jobs.kept["job-2"].message is None


@pytest.mark.parametrize("before", ["pending", "paused", "completed", "failed", "interrupted"])
async def test_a_withdrawn_run_gives_the_earlier_status_back(before: str) -> None:
    world = World(limit=1)
    await put(world, "other")
    await put(world, status=JobStatus(before))
    await world.manager.start_job("other")
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.stop_job("photos-0001")
    assert status(world) == before
    assert world.jobs.kept["photos-0001"].run_id is None
    assert run_id not in world.runs.kept
    assert run_id not in world.directories.specs
    assert world.executor.stopped == []


async def test_a_withdrawn_run_gives_the_run_before_it_back() -> None:
    world = World(limit=1)
    await put(world, "other")
    await put(world)
    first = await world.manager.start_job("photos-0001")
    await world.manager.stop_job("photos-0001")
    await world.manager.update_job_from_engine(first, [ended("paused", message="Stopped.")])
    await world.manager.start_job("other")
    await world.manager.start_job("photos-0001")
    await world.manager.stop_job("photos-0001")
    state = world.jobs.kept["photos-0001"]
    assert (state.status, state.run_id, state.message) == ("paused", first, "Stopped.")
    assert state.progress is not None


async def test_stop(world: World) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.stop_job("photos-0001")
    assert status(world) == "stopping"
    assert world.executor.stopped == [run_id]
    with pytest.raises(NothingToStop) as caught:
        await world.manager.stop_job("photos-0001")
    assert caught.value.status == "stopping"
    # It is paused only once its processes have ended.
    assert await world.manager.update_job_from_engine(run_id, [ended("paused", message="Stopped.")])
    assert status(world) == "paused"
    assert world.jobs.kept["photos-0001"].message == "Stopped."


async def test_a_run_that_completes_while_it_is_stopped_is_completed(world: World) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.stop_job("photos-0001")
    assert await world.manager.update_job_from_engine(run_id, [ended()])
    assert status(world) == "completed"
    assert world.jobs.kept["photos-0001"].last_good_at == END


async def test_progress_is_shown_and_not_kept(world: World) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    line = JournalLine(END, events.ProgressMade(Progress(percent=12.5, bytes_done=5)))
    assert not await world.manager.update_job_from_engine(run_id, [line])
    assert world.jobs.snapshot()["photos-0001"].state.progress == Progress(
        percent=12.5, bytes_done=5
    )
    assert world.jobs.kept["photos-0001"].progress is None
    assert (await world.runs.get(run_id)).bytes_done == 5


async def test_lines_of_another_run_are_refused(world: World) -> None:
    await put(world)
    await world.manager.start_job("photos-0001")
    await world.runs.add(a_run("stray"))
    with pytest.raises(RunNotFound):
        await world.manager.update_job_from_engine("stray", [ended()])
    assert status(world) == "running"


@pytest.mark.parametrize("active", ["queued", "running", "stopping"])
async def test_an_active_job_is_not_deleted(world: World, active: str) -> None:
    await put(world, status=JobStatus(active), run_id="r")
    with pytest.raises(JobIsActive) as caught:
        await world.manager.delete_job("photos-0001")
    assert (caught.value.status, caught.value.command) == (active, "delete")
    assert "photos-0001" in world.jobs.snapshot()


async def test_a_deleted_job_takes_its_history_with_it(world: World) -> None:
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.update_job_from_engine(run_id, [ended()])
    await world.manager.delete_job("photos-0001")
    assert not world.jobs.snapshot()
    assert not world.runs.kept
    assert not world.directories.specs
    for command in (world.manager.start_job, world.manager.stop_job, world.manager.delete_job):
        with pytest.raises(JobNotFound):
            await command("photos-0001")


@pytest.mark.parametrize("before", list(JobStatus))
async def test_discard(world: World, tmp_path: Path, before: JobStatus) -> None:
    partial = tmp_path / ".longshore-partial"
    partial.mkdir(parents=True)
    job = a_job(destination=str(tmp_path))
    state = JobState(job.id, status=before, run_id="r", progress=Progress(percent=50.0))
    await world.jobs.create(job, state)
    if before in {"paused", "interrupted"}:
        await world.manager.discard(job.id)
        assert status(world) == "pending"
        assert world.jobs.kept[job.id].progress is None
        assert not partial.exists()
    else:
        with pytest.raises(NothingToDiscard) as caught:
            await world.manager.discard(job.id)
        assert caught.value.status == before
        assert partial.exists()


async def test_partial_files_that_cannot_be_removed_leave_the_job_as_it_is(
    world: World, tmp_path: Path
) -> None:
    # rsync keeps none there: a folder is not unlinked.
    stuck = tmp_path / ".longshore-partial" / "folder"
    stuck.mkdir(parents=True)
    job = a_job(destination=str(tmp_path))
    await world.jobs.create(job, JobState(job.id, status=JobStatus.PAUSED, run_id="r"))
    with pytest.raises(FileFailed) as caught:
        await world.manager.discard(job.id)
    assert caught.value.where == str(stuck)
    assert str(caught.value).startswith(f"Removing the partial files failed at {stuck}: ")
    assert status(world) == "paused"


async def test_the_newest_runs_are_kept(world: World) -> None:
    await put(world)
    for number in range(RunLimits().kept_runs_per_job + 3):
        old = a_run(f"old-{number:02d}", queued_at=f"2026-01-01T00:00:{number:02d}.000Z")
        await world.runs.add(close_run(old, RunOutcome.FAILED, ended_at=END, message=None))
    run_id = await world.manager.start_job("photos-0001")
    await world.manager.update_job_from_engine(run_id, [ended()])
    assert len(world.runs.kept) == RunLimits().kept_runs_per_job
    assert run_id in world.runs.kept
    assert {f"old-{number:02d}" for number in range(4)}.isdisjoint(world.runs.kept)


@pytest.mark.parametrize(
    ("before", "resumes"), [("paused", True), ("interrupted", True), ("completed", False)]
)
async def test_a_resuming_run_is_told_which_file_was_cut_off(before: str, resumes: bool) -> None:
    world = World()
    progress = Progress(current_file="a/big.iso")
    await put(world, status=JobStatus(before), progress=progress)
    run_id = await world.manager.start_job("photos-0001")
    spec = world.directories.specs[run_id]
    assert (spec.resume, spec.cut_off_file) == (resumes, "a/big.iso" if resumes else None)


@pytest.mark.parametrize(("changed", "expected"), [(False, (1000, 4)), (True, (None, None))])
async def test_a_run_is_told_the_totals_of_the_last_one_of_the_same_definition(
    changed: bool, expected: tuple[int | None, int | None]
) -> None:
    world = World()
    progress = Progress(bytes_total=1000, files_total=4)
    await put(
        world,
        status=JobStatus.COMPLETED,
        progress=progress,
        definition_version=2 if changed else 1,
    )
    run_id = await world.manager.start_job("photos-0001")
    spec = world.directories.specs[run_id]
    assert (spec.expected_bytes, spec.expected_files) == expected
    assert world.jobs.snapshot()["photos-0001"].state.definition_version == 1
