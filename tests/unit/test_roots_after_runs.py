"""Proves that what is done with a source or destination outside of a run stays within the allowed
folders too: deleting sources, putting them back, emptying trash, discarding parts of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.deleted_sources import DeletedSources, Emptied, deleting_run
from core.new_run import RunLimits
from core.runner.source_deletion import EXIT_DONE, EXIT_REFUSED
from models.errors import OutsideRoots, PutBackRefused
from models.job_state import JobState
from models.job_status import JobStatus
from models.run_spec import TRASH_FOLDER
from models.source_deletions import Deletion
from tests.fakes.builders import NOON, a_job, a_run, a_spec
from tests.fakes.deleting_runs import a_photo_and_its_copy, contents_of, told
from tests.fakes.outside import World

RUN = "run-1"


@pytest.fixture
def world() -> World:
    """Commands whose clock stands at the end of the run."""
    return World()


async def trashed(world: World, source: Path) -> Path:
    """Let a run have moved a file into the trash folder for a day; returns where it lies."""
    path = source / TRASH_FOLDER / RUN / "file"
    path.parent.mkdir(parents=True)
    path.write_text("file")
    world.deletions.records[RUN] = [Deletion(0, "file", "trashed", NOON, 4, 1)]
    spec = a_spec(run_id=RUN, source=str(source), trash_days=1)
    run = a_run(RUN, source=str(source))
    await world.deletions.take(deleting_run(run, spec, ended_at=world.clock.now()))
    return path


@pytest.mark.parametrize("by_link", [False, True])
async def test_nothing_is_put_back_or_emptied_outside(
    world: World, tmp_path: Path, by_link: bool
) -> None:
    source, root = tmp_path / "root" / "source", tmp_path / "root"
    file = await trashed(world, source)
    if by_link:
        source.rename(tmp_path / "elsewhere")
        source.symlink_to(tmp_path / "elsewhere")
    else:
        root = tmp_path / "other"
    roots = [str(root)]
    commands = DeletedSources(world.ports, world.manager.at_rest, roots=lambda: tuple(roots))
    with pytest.raises(PutBackRefused, match="does not lie within the allowed folders"):
        await commands.put_back(RUN)
    world.clock.seconds += 2 * 86_400
    emptied = await commands.empty_trash()
    assert emptied.runs == 0
    assert f"within the allowed folders ({root})" in emptied.faults[0]
    assert file.exists()
    roots[:] = [str(tmp_path)]
    assert await commands.empty_trash() == Emptied(1, ())
    assert not file.exists()


@pytest.mark.parametrize("by_link", [False, True])
async def test_parts_of_files_are_discarded_within_alone(
    world: World, tmp_path: Path, by_link: bool
) -> None:
    partial = tmp_path / "root" / "copy" / ".longshore-partial"
    partial.mkdir(parents=True)
    job = a_job(destination=str(partial.parent))
    await world.jobs.create(job, JobState(job.id, status=JobStatus.PAUSED, run_id="r"))
    root = tmp_path / "root" if by_link else tmp_path / "other"
    if by_link:
        partial.parent.rename(tmp_path / "elsewhere")
        partial.parent.symlink_to(tmp_path / "elsewhere")
    await world.manager.use_limits(RunLimits(allowed_roots=(str(root),)))
    with pytest.raises(OutsideRoots, match="does not lie within the allowed folders"):
        await world.manager.discard(job.id)
    assert partial.exists()
    assert world.jobs.kept[job.id].status is JobStatus.PAUSED
    await world.manager.use_limits(RunLimits(allowed_roots=(str(tmp_path),)))
    await world.manager.discard(job.id)
    assert not partial.exists()


@pytest.mark.parametrize("outside", ["from", "to"])
def test_no_source_is_deleted_when_one_of_both_lies_outside(tmp_path: Path, outside: str) -> None:
    run = a_photo_and_its_copy(tmp_path)
    run.prepare()
    path = run.directory / "spec.json"
    document = json.loads(path.read_text())
    inside = "to" if outside == "from" else "from"
    path.write_text(json.dumps(document | {"allowed_roots": [str(tmp_path / inside)]}))
    before = contents_of(run.source)
    performed = run.perform()
    assert performed.returncode == EXIT_REFUSED
    assert "does not lie within the allowed folders" in told(performed)["message"]
    assert contents_of(run.source) == before
    path.write_text(json.dumps(document | {"allowed_roots": [str(tmp_path)]}))
    assert run.perform().returncode == EXIT_DONE
    assert contents_of(run.source) != before
