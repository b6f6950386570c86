"""Proves that trash folders are emptied when their days are over, and then alone, with real files
and a record in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.deleted_sources import Emptied, deleting_run
from fastapi_app.housekeeping import tidy
from models.deleted_sources import DeletingRun
from models.errors import JobIsActive, PutBackRefused
from models.job_status import JobStatus
from models.run_spec import TRASH_FOLDER
from models.source_deletions import Deletion
from tests.fakes.builders import NOON, a_run, a_spec
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.outside import World
from tests.fakes.scenes import put

DAY_SECONDS = 86_400
NAMES = ("a/one", "two")


@pytest.fixture
def world() -> World:
    """Commands whose clock stands at the end of the runs."""
    return World()


async def trashed(world: World, source: Path, run_id: str = "run-1", days: int = 30) -> DeletingRun:
    """Let a run have moved two files into the trash folder, of which one lay in a folder."""
    for name in NAMES:
        path = source / TRASH_FOLDER / run_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    world.deletions.records[run_id] = [
        Deletion(number, name, "trashed", NOON, len(name), 1) for number, name in enumerate(NAMES)
    ]
    run = a_run(run_id, source=str(source))
    spec = a_spec(run_id=run_id, source=str(source), trash_days=days)
    kept = deleting_run(run, spec, ended_at=world.clock.now())
    await world.deletions.take(kept)
    return kept


def files(source: Path) -> list[str]:
    """Return every file beneath a folder."""
    return sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())


async def purged(world: World, run_id: str = "run-1") -> bool:
    """Whether the record says that a trash folder was emptied."""
    run = await world.deletions.run(run_id)
    assert run is not None
    return run.purged_at is not None


async def test_trash_goes_when_its_days_are_over_and_nobody_elses(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("stays")
    await trashed(world, tmp_path)
    await trashed(world, tmp_path, "run-2", days=31)
    stranger = tmp_path / TRASH_FOLDER / "of another job"
    stranger.mkdir()
    (stranger / "file").write_text("stays")

    world.clock.seconds += 29.9 * DAY_SECONDS
    assert await world.deleted_sources.empty_trash() == Emptied(0, ())
    assert not await purged(world)

    world.clock.seconds += 0.2 * DAY_SECONDS
    assert await world.deleted_sources.empty_trash() == Emptied(1, ())

    assert await purged(world)
    assert not await purged(world, "run-2")
    assert files(tmp_path) == [
        f"{TRASH_FOLDER}/of another job/file",
        *(f"{TRASH_FOLDER}/run-2/{name}" for name in NAMES),
        "mine",
    ]
    assert await world.deleted_sources.empty_trash() == Emptied(0, ())
    with pytest.raises(PutBackRefused, match="was emptied"):
        await world.deleted_sources.put_back("run-1")


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.STOPPING])
async def test_nothing_moves_while_a_run_of_the_job_is_under_way(
    world: World, tmp_path: Path, status: JobStatus
) -> None:
    await put(world, status=status, run_id="run-2")
    await trashed(world, tmp_path, days=1)
    world.clock.seconds += 2 * DAY_SECONDS
    before = files(tmp_path)

    assert await world.deleted_sources.empty_trash() == Emptied(0, ())
    with pytest.raises(JobIsActive):
        await world.deleted_sources.put_back("run-1")

    assert files(tmp_path) == before
    assert not await purged(world)


async def test_a_source_that_is_not_mounted_is_no_fault_and_is_tried_again(
    world: World, tmp_path: Path
) -> None:
    source = tmp_path / "disk" / "from"
    await trashed(world, source, days=1)
    world.clock.seconds += 2 * DAY_SECONDS
    (tmp_path / "disk").rename(tmp_path / "unplugged")

    assert await world.deleted_sources.empty_trash() == Emptied(0, ())
    (tmp_path / "disk").mkdir()
    assert await world.deleted_sources.empty_trash() == Emptied(0, ())
    assert not await purged(world)

    (tmp_path / "disk").rmdir()
    (tmp_path / "unplugged").rename(tmp_path / "disk")
    assert await world.deleted_sources.empty_trash() == Emptied(1, ())
    assert files(source) == []


async def test_trash_that_cannot_be_emptied_is_told_until_it_can(
    world: World, tmp_path: Path
) -> None:
    await trashed(world, tmp_path, days=1)
    await trashed(world, tmp_path / "other", "run-2", days=1)
    world.clock.seconds += 2 * DAY_SECONDS
    folder, log = tmp_path / TRASH_FOLDER / "run-1", InMemoryErrorLog()
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("no folder")

    await tidy(world.manager, world.deleted_sources, log, log)

    (event,) = log.unresolved
    assert event.message.endswith(f"That of run run-1 in {tmp_path}: Not a directory.")
    assert (await purged(world), await purged(world, "run-2")) == (False, True)

    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    await tidy(world.manager, world.deleted_sources, log, log)

    assert log.unresolved == []
    assert await purged(world)


async def test_a_start_waits_until_all_is_put_back(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(world)
    await trashed(world, tmp_path)
    found: list[bool] = []
    note = world.deletions.note_put_back

    async def look_and_note(*given: object, **more: object) -> None:
        found.append(world.manager._lock("photos-0001").locked())
        await note(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.deletions, "note_put_back", look_and_note)
    done = await world.deleted_sources.put_back("run-1")

    assert (done.restored, done.stayed) == (2, 0)
    assert found
    assert all(found)
    assert files(tmp_path) == sorted(NAMES)


async def test_a_link_in_the_place_of_the_trash_folder_leads_nowhere(
    world: World, tmp_path: Path
) -> None:
    source, outside = tmp_path / "from", tmp_path / "outside"
    await trashed(world, source, days=1)
    (source / TRASH_FOLDER).rename(outside)
    (source / TRASH_FOLDER).symlink_to(outside)
    world.clock.seconds += 2 * DAY_SECONDS

    emptied = await world.deleted_sources.empty_trash()
    with pytest.raises(PutBackRefused):
        await world.deleted_sources.put_back("run-1")

    assert (emptied.runs, len(emptied.faults)) == (0, 1)
    assert files(outside) == [f"run-1/{name}" for name in NAMES]
    assert os.listdir(source) == [TRASH_FOLDER]


async def test_a_run_whose_job_is_gone_leaves_its_record(world: World) -> None:
    run = a_run("run-1", source="/srv")
    await world.runs.add(run)
    await world.directories.prepare(a_spec(source_deletion="per_file", trash_days=3))
    world.deletions.records["run-1"] = [Deletion(1, "a", "trashed", NOON)]

    await world.manager.forget_never_begun()

    assert await world.runs.known(["run-1"]) == frozenset()
    kept = await world.deletions.run("run-1")
    assert kept is not None
    assert (kept.trashed, kept.job_name) == (1, "Photos")
    assert kept.trash_until is not None
