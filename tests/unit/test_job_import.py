"""Proves that imported jobs become new files, whole and private, and that nothing is replaced."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from models.job_state import JobState
from models.job_status import JobStatus
from storage.interchange import ImportedJob
from storage.job_documents import job_content, state_content
from storage.job_files import JobFiles
from storage.job_import import write_jobs
from storage.job_storage import JobStorage
from tests.fakes.builders import a_job
from utils.durable_file import Replacement, create_file


def entries(*job_ids: str, status: JobStatus = JobStatus.FAILED) -> list[ImportedJob]:
    """Return jobs as a file told them."""
    return [
        ImportedJob(a_job(job_id), JobState(job_id, status=status, message="Why"), line=1)
        for job_id in job_ids
    ]


def files_of(directory: Path) -> dict[str, bytes]:
    """Return every file beneath a directory with its content."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


async def test_a_start_finds_what_was_imported(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    outcome = write_jobs(data, entries("a", "b"))

    assert (outcome.imported, outcome.already_there, outcome.failure) == (["a", "b"], [], None)
    for name in ("", "jobs", "state"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o700
    for name in files_of(data):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
        assert (data / name).stat().st_nlink == 1
    assert files_of(data).keys() == {f"{d}/{i}.yaml" for d in ("jobs", "state") for i in "ab"}
    store = await JobStorage.open(data)
    await store.close()
    record = store.snapshot()["a"]
    assert record.job == a_job("a"), "counts as written by the program: no new version"
    assert (record.state.status, record.state.message) == (JobStatus.FAILED, "Why")


def test_nothing_is_imported_twice(tmp_path: Path) -> None:
    write_jobs(tmp_path, entries("a"))
    before = files_of(tmp_path)
    outcome = write_jobs(tmp_path, entries("a", status=JobStatus.PAUSED))
    assert (outcome.imported, outcome.already_there) == ([], ["a"])
    assert files_of(tmp_path) == before


def test_a_damaged_file_of_that_id_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.yaml").write_bytes(b"damaged: [")
    assert write_jobs(tmp_path, entries("a")).already_there == ["a"]
    assert files_of(tmp_path) == {"jobs/a.yaml": b"damaged: ["}


@pytest.mark.parametrize(
    ("found", "is_told"), [(JobStatus.FAILED, False), (JobStatus.COMPLETED, True)]
)
def test_a_state_that_is_there_stays(tmp_path: Path, found: JobStatus, is_told: bool) -> None:
    content = state_content(JobState("a", status=found, version=9))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "a.yaml").write_bytes(content)
    outcome = write_jobs(tmp_path, entries("a"))
    assert (outcome.imported, outcome.kept_states) == (["a"], ["a"] if is_told else [])
    assert files_of(tmp_path)["state/a.yaml"] == content


def test_a_job_whose_run_is_under_way_is_not_displaced(tmp_path: Path) -> None:
    state = JobState("a", status=JobStatus.RUNNING, run_id="run-1")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "a.yaml").write_bytes(state_content(state))
    outcome = write_jobs(tmp_path, entries("a", "b"))
    assert (outcome.imported, outcome.busy) == (["b"], ["a"])
    assert not (tmp_path / "jobs" / "a.yaml").exists()


def test_the_state_is_in_its_place_before_the_definition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    link = os.link

    def noted(source: str, target: str) -> None:
        published.append(os.path.relpath(target, tmp_path))
        link(source, target)

    monkeypatch.setattr(os, "link", noted)
    write_jobs(tmp_path, entries("a"))
    assert published == ["state/a.yaml", "jobs/a.yaml"]


def test_a_full_disk_stops_it_and_what_was_imported_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = entries(*(f"j-{number:03d}" for number in range(100)))
    fsync, count = os.fsync, 0

    def fills_up(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count > 150:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fills_up)
    outcome = write_jobs(tmp_path, wanted)
    monkeypatch.setattr(os, "fsync", fsync)

    assert outcome.failure == "No space left on device"
    assert outcome.imported == [entry.job.id for entry in wanted[:64]]
    expected = {f"{d}/{i}.yaml" for d in ("jobs", "state") for i in outcome.imported}
    assert files_of(tmp_path).keys() == expected, "no temporary file is left"
    rest = write_jobs(tmp_path, wanted)
    assert (len(rest.already_there), len(rest.imported), rest.kept_states) == (64, 36, [])


def test_a_server_that_starts_and_tidies_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Replacement.sync
    tidied: list[bool] = []

    def tidies_once(replacement: Replacement) -> None:
        sync(replacement)
        if not tidied:
            tidied.append(True)
            JobFiles(tmp_path).load()

    monkeypatch.setattr(Replacement, "sync", tidies_once)
    outcome = write_jobs(tmp_path, entries("a", "b"))
    assert tidied
    assert (outcome.imported, outcome.kept_states, outcome.failure) == (["a", "b"], [], None)


def test_a_directory_that_is_gone_ends_it_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "link", gone)
    outcome = write_jobs(tmp_path, entries("a"))
    assert (outcome.imported, outcome.failure) == ([], "No such file or directory")
    assert files_of(tmp_path) == {}


def no_hard_links(*_: object) -> None:
    """What link(2) says on exFAT."""
    raise PermissionError(errno.EPERM, "no hard links on this file system")


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_never_replaces_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links)
    path = tmp_path / "a"
    create_file(path, b"one")
    with pytest.raises(FileExistsError):
        create_file(path, b"two")
    assert files_of(tmp_path) == {"a": b"one"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_hard_links_a_failed_rename_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "link", no_hard_links)
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="broken"):
        create_file(tmp_path / "a", b"one")
    assert files_of(tmp_path) == {}


def test_a_definition_is_written_as_the_store_writes_it(tmp_path: Path) -> None:
    (entry,) = entries("a")
    write_jobs(tmp_path, [entry])
    assert files_of(tmp_path)["jobs/a.yaml"] == job_content(entry.job)
    assert (tmp_path / "jobs/a.yaml").stat().st_mtime == entry.job.updated_at.timestamp()
