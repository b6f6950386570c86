"""Proves that what lies in the trash folder of a source comes back or goes, and nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from core.runner.trash import PutBack, purge, put_back
from models.run_spec import TRASH_FOLDER
from tests.fakes.deleting_runs import (
    NAME,
    DeletingRun,
    a_photo_and_its_copy,
    contents_of,
    copy,
    copy_of,
    moved_aside,
    photo,
    told,
)


@pytest.fixture
def run(tmp_path: Path) -> DeletingRun:
    """One file in a folder, and its copy."""
    return a_photo_and_its_copy(tmp_path)


def test_the_trash_of_earlier_runs_is_no_source(run: DeletingRun) -> None:
    trash = run.source / TRASH_FOLDER / "run-0"
    trash.mkdir(parents=True)
    (trash / "kept").write_bytes(b"of an earlier run")
    copy_of(run.source, run.destination)
    run.prepare()

    assert run.perform().returncode == 0
    assert (trash / "kept").read_bytes() == b"of an earlier run"


def test_a_trash_folder_that_is_a_link_is_not_followed(run: DeletingRun, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (run.source / TRASH_FOLDER).symlink_to(outside)
    run.prepare()
    run.list_names(NAME)

    assert run.perform().returncode == 1
    assert photo(run).exists()
    assert list(outside.iterdir()) == []


def put_back_all(run: DeletingRun) -> tuple[PutBack, dict[bytes, str | None]]:
    """Put back what a run moved into the trash folder; returns what was told of each name."""
    heard: dict[bytes, str | None] = {}
    done = put_back(str(run.source), run.run_id, tell=heard.__setitem__)
    return done, heard


def test_what_lies_in_the_trash_comes_back_as_it_was(run: DeletingRun) -> None:
    (run.source / "folder").chmod(0o750)
    (run.source / "link").symlink_to("folder")
    copy_of(run.source, run.destination)
    before = contents_of(run.source)
    run.prepare(trash_days=30, delete_empty_directories=True)
    assert run.perform().returncode == 0
    assert os.listdir(run.source) == [TRASH_FOLDER]

    done, heard = put_back_all(run)

    assert (done, heard) == (PutBack(2, 0), {NAME: None, b"link": None})
    assert contents_of(run.source) == before
    assert stat.S_IMODE((run.source / "folder").stat().st_mode) == 0o750
    assert sorted(os.listdir(run.source)) == ["folder", "link"]


def test_nothing_is_put_back_over_what_is_there_by_now(run: DeletingRun) -> None:
    run.prepare(trash_days=30)
    assert run.perform().returncode == 0
    photo(run).write_bytes(b"a new one of the same name")

    done, heard = put_back_all(run)

    assert done == PutBack(0, 1)
    assert heard[NAME] == "Another file has its name by now: it stays in the trash folder."
    assert photo(run).read_bytes() == b"a new one of the same name"
    kept = run.source / TRASH_FOLDER / run.run_id / "folder" / "photo.jpg"
    assert kept.read_bytes() == b"the only copy"


def test_nothing_is_put_back_through_a_link(run: DeletingRun, tmp_path: Path) -> None:
    run.prepare(trash_days=30, delete_empty_directories=True)
    assert run.perform().returncode == 0
    (tmp_path / "outside").mkdir()
    (run.source / "folder").symlink_to(tmp_path / "outside")

    done, _ = put_back_all(run)

    assert done == PutBack(0, 1)
    assert list((tmp_path / "outside").iterdir()) == []


def test_the_trash_of_one_run_is_removed_and_that_of_others_stays(run: DeletingRun) -> None:
    run.prepare(trash_days=30)
    assert run.perform().returncode == 0
    other = run.source / TRASH_FOLDER / "run-2"
    other.mkdir()
    (other / "file").touch()

    assert purge(str(run.source), run.run_id)
    assert not purge(str(run.source), run.run_id)
    assert os.listdir(run.source / TRASH_FOLDER) == ["run-2"]
    assert copy(run).read_bytes() == b"the only copy"


def test_what_is_in_the_trash_folder_of_a_link_is_not_removed(
    run: DeletingRun, tmp_path: Path
) -> None:
    (tmp_path / "outside" / run.run_id).mkdir(parents=True)
    (run.source / TRASH_FOLDER).symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        purge(str(run.source), run.run_id)
    assert (tmp_path / "outside" / run.run_id).exists()


def test_what_a_run_that_was_killed_had_moved_aside_comes_back(run: DeletingRun) -> None:
    with moved_aside(run.source, NAME):
        assert not photo(run).exists()
        run.prepare()
        assert told(run.put_back_cut_off())["message"] is None, "its run lives"
        assert not photo(run).exists()
    assert "1 file was put back at the source" in told(run.put_back_cut_off())["message"]
    assert photo(run).read_bytes() == b"the only copy"
    assert not (run.source / TRASH_FOLDER).exists()


def test_what_is_kept_in_the_trash_is_nothing_that_was_cut_off(run: DeletingRun) -> None:
    run.prepare(trash_days=30)
    assert run.perform().returncode == 0

    assert told(run.put_back_cut_off())["message"] is None
    assert not photo(run).exists()
    assert put_back_all(run)[0] == PutBack(1, 0)
