"""Proves that what is done with a source or destination outside of a run stays within the allowed
folders too: deleting sources, putting them back, emptying trash, discarding parts of files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from core.allowed_roots import Roots, is_allowed
from core.deleted_sources import DeletedSources, Emptied, deleting_run
from core.new_run import RunLimits
from core.runner.source_deletion import EXIT_DONE, EXIT_REFUSED
from core.runner.trash import PutBack, found_back, put_back
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


async def test_a_source_that_leads_out_only_after_its_check_is_left_alone(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, elsewhere = tmp_path / "root" / "source", tmp_path / "elsewhere"
    file = await trashed(world, source)
    shutil.copytree(source, elsewhere)
    before = contents_of(elsewhere)

    def swap_then(location: str, roots: Roots) -> bool:
        answer = is_allowed(location, roots)
        source.rename(tmp_path / "aside")
        source.symlink_to(elsewhere)
        return answer

    roots = (str(tmp_path / "root"),)
    commands = DeletedSources(world.ports, world.manager.at_rest, roots=lambda: roots)
    monkeypatch.setattr("core.deleted_sources.is_allowed", swap_then)
    with pytest.raises(PutBackRefused, match="does not lie within the allowed folders"):
        await commands.put_back(RUN)
    assert contents_of(elsewhere) == before
    source.unlink()
    (tmp_path / "aside").rename(source)
    world.clock.seconds += 2 * 86_400
    emptied = await commands.empty_trash()
    assert emptied.runs == 0
    assert "does not lie within the allowed folders" in emptied.faults[0]
    assert contents_of(elsewhere) == before
    source.unlink()
    (tmp_path / "aside").rename(source)
    monkeypatch.undo()
    assert file.exists()
    assert await commands.empty_trash() == Emptied(1, ())


async def test_what_is_back_is_looked_for_within_alone(world: World, tmp_path: Path) -> None:
    source = tmp_path / "root" / "source"
    file = await trashed(world, source)
    file.rename(source / "file")
    os.utime(source / "file", ns=(1, 1))
    (record,) = world.deletions.records[RUN]
    for roots, found in ((("/nowhere",), []), ((str(tmp_path),), [b"file"])):
        assert found_back(str(source), RUN, [record], roots) == found


def test_a_source_that_is_swapped_while_it_is_put_back_is_left_alone(tmp_path: Path) -> None:
    source, elsewhere = tmp_path / "source", tmp_path / "elsewhere"
    for top in (source, elsewhere):
        (top / TRASH_FOLDER / RUN).mkdir(parents=True)
    (source / TRASH_FOLDER / RUN / "file").touch()

    def swap(_name: bytes, _reason: str | None) -> None:
        source.rename(tmp_path / "aside")
        source.symlink_to(elsewhere)

    assert put_back(str(source), RUN, tell=swap) == PutBack(1, 0)
    # An empty folder is what it takes away at its end.
    assert (elsewhere / TRASH_FOLDER / RUN).is_dir()
    assert [path.name for path in (tmp_path / "aside").rglob("*")] == ["file"]


def test_what_was_moved_aside_outside_stays_there(tmp_path: Path) -> None:
    run = a_photo_and_its_copy(tmp_path)
    aside = run.source / TRASH_FOLDER / "killed.aside" / "file"
    aside.parent.mkdir(parents=True)
    aside.touch()
    run.prepare(allowed_roots=(str(tmp_path / "to"),))
    performed = run.put_back_cut_off()
    assert performed.returncode == EXIT_REFUSED
    assert "does not lie within the allowed folders" in told(performed)["message"]
    assert aside.exists()
    run.prepare(allowed_roots=(str(tmp_path),))
    assert run.put_back_cut_off().returncode == EXIT_DONE
    assert not aside.exists()


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


async def test_a_destination_that_leads_out_only_after_its_check_is_left_alone(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, elsewhere = tmp_path / "root" / "copy", tmp_path / "elsewhere"
    for top in (copy, elsewhere):
        (top / ".longshore-partial").mkdir(parents=True)
    job = a_job(destination=str(copy))
    await world.jobs.create(job, JobState(job.id, status=JobStatus.PAUSED, run_id="r"))
    await world.manager.use_limits(RunLimits(allowed_roots=(str(tmp_path / "root"),)))

    def swap_then(location: str, roots: Roots) -> bool:
        answer = is_allowed(location, roots)
        copy.rename(tmp_path / "aside")
        copy.symlink_to(elsewhere)
        return answer

    monkeypatch.setattr("core.job_manager.is_allowed", swap_then)
    with pytest.raises(OutsideRoots, match="does not lie within the allowed folders"):
        await world.manager.discard(job.id)
    assert (elsewhere / ".longshore-partial").exists()


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
