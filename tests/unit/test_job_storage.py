"""Proves what the YAML store makes of files that are damaged, edited by hand or half written."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from models.errors import StorageFailed
from models.job_state import JobState
from models.job_status import JobStatus
from storage.job_documents import state_content
from storage.job_files import JobFiles
from storage.job_storage import JobStorage
from tests.fakes.builders import a_job
from tests.fakes.changes import save_state

GOOD = b"""format: 1
id: hand-0001
# A person wrote this.
name: 22:30
engine: rsync
source: /srv/photos
destination: /mnt/nas
tags: [no, 010, 2026-11-23]
version: 1
created_at: 2026-11-23T10:00:00Z
updated_at: 2026-11-23T10:00:00Z
"""


@pytest_asyncio.fixture
async def storage(tmp_path: Path) -> AsyncIterator[JobStorage]:
    """A store with one job."""
    opened = await JobStorage.open(tmp_path)
    await opened.create(a_job(), JobState("photos-0001"))
    yield opened
    await opened.close()


async def reopened(directory: Path) -> JobStorage:
    """Return what a restart finds."""
    store = await JobStorage.open(directory)
    await store.close()
    return store


async def test_files_and_folders_are_private(storage: JobStorage, tmp_path: Path) -> None:
    await save_state(storage, JobState("photos-0001", status=JobStatus.FAILED))
    for name in ("jobs", "state"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
        for path in (tmp_path / name).iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert files == {
        "jobs/photos-0001.yaml",
        "state/photos-0001.yaml",
        "state/photos-0001.yaml.bak",
    }


async def test_a_file_written_by_hand_keeps_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "hand-0001.yaml").write_bytes(GOOD)
    record = (await reopened(tmp_path)).snapshot()["hand-0001"]
    assert record.job.name == "22:30"
    assert record.job.tags == ("no", "010", "2026-11-23")
    assert record.state.status is JobStatus.PENDING
    assert (tmp_path / "jobs" / "hand-0001.yaml").read_bytes() == GOOD


async def test_a_state_change_does_not_touch_the_definition(
    storage: JobStorage, tmp_path: Path
) -> None:
    path = tmp_path / "jobs" / "photos-0001.yaml"
    before = (path.stat().st_ino, path.read_bytes())
    await save_state(storage, JobState("photos-0001", status=JobStatus.FAILED))
    assert (path.stat().st_ino, path.read_bytes()) == before


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bad-0001", b"name: [", "is not valid YAML"),
        ("bad-0001", b"", "is empty"),
        ("bad-0001", b"a: &x 1\nb: *x\n", "uses an anchor at line 1"),
        ("bad-0001", GOOD, "holds the job 'hand-0001'"),
        ("Bad Name", GOOD.replace(b"hand-0001", b"Bad Name"), "its name is not a job id"),
        ("hand-0001", GOOD.replace(b"rsync", b"tar"), "line 5: engine: There is no engine “tar”."),
        (
            "hand-0001",
            GOOD.replace(b"/srv/photos", b"host:x"),
            "line 6: source: This looks like a remote",
        ),
        ("hand-0001", GOOD.replace(b"version: 1", b"version: one"), "version: "),
        ("hand-0001", GOOD.replace(b"name: 22:30\n", b""), "name: This field is required"),
        ("hand-0001", GOOD + b"surprise: 1\n", "surprise: There is no such field"),
    ],
)
async def test_a_damaged_file_is_listed_and_the_others_are_loaded(
    storage: JobStorage, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / "jobs" / f"{name}.yaml").write_bytes(content)
    store = await reopened(tmp_path)
    assert set(store.snapshot()) == {"photos-0001"}
    (damaged,) = store.damaged()
    assert damaged.id == name
    assert reason in damaged.reason
    assert (tmp_path / "jobs" / f"{name}.yaml").read_bytes() == content, "left as it is"
    found = JobFiles(tmp_path).look()
    assert (set(found.records), found.damaged) == ({"photos-0001"}, {name: damaged})


async def test_what_an_interrupted_save_left_is_no_job(storage: JobStorage, tmp_path: Path) -> None:
    (tmp_path / "jobs" / ".new-photos-0001.yaml.0a0b").write_bytes(b"name: [")
    (tmp_path / "jobs" / "photos-0001.yaml.bak").write_bytes(b"name: [")
    store = await reopened(tmp_path)
    assert set(store.snapshot()) == {"photos-0001"}
    assert store.damaged() == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 500,
        b"status: [",
        b"format: 1\nstatus: dancing\n",
        b"format: 1\nstatus: running\nrun_id: null\n",
        b"format: 1\nstatus: failed\nprogress: 5\n",
        b"format: 1\nstatus: failed\nprogress: [1]\n",
    ],
)
async def test_a_damaged_state_falls_back_to_the_one_before(
    storage: JobStorage, tmp_path: Path, content: bytes
) -> None:
    before = await save_state(storage, JobState("photos-0001", status=JobStatus.PAUSED))
    await save_state(storage, JobState("photos-0001", status=JobStatus.COMPLETED))
    path = tmp_path / "state" / "photos-0001.yaml"
    path.write_bytes(content)
    assert (await reopened(tmp_path)).snapshot()["photos-0001"].state == before
    assert path.read_bytes() == state_content(before)
    path.write_bytes(content)
    (tmp_path / "state" / "photos-0001.yaml.bak").write_bytes(content)
    assert (await reopened(tmp_path)).snapshot()["photos-0001"].state == JobState("photos-0001")
    assert [one.read_bytes() for one in path.parent.glob("*.damaged-*")] == [content, content]
    path.unlink(missing_ok=True)
    assert (await reopened(tmp_path)).snapshot()["photos-0001"].state == JobState("photos-0001")


@pytest.mark.parametrize("failing_write", [1, 2])
async def test_a_job_that_cannot_be_saved_leaves_nothing(
    storage: JobStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_write: int
) -> None:
    files = sorted(tmp_path.rglob("*"))
    real, renames = os.replace, []

    def fail(*arguments: Any) -> None:
        renames.append(arguments)
        if len(renames) == failing_write:
            raise OSError(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageFailed) as caught:
        await storage.create(a_job("new-0002"), JobState("new-0002"))
    assert (caught.value.what, caught.value.reason) == ("Saving the job", "No space left on device")
    assert "new-0002" not in storage.snapshot()
    assert sorted(tmp_path.rglob("*")) == files


async def test_a_state_that_cannot_be_saved_is_not_shown(
    storage: JobStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFailed):
        await save_state(storage, JobState("photos-0001", status=JobStatus.FAILED))
    monkeypatch.undo()
    assert storage.snapshot()["photos-0001"].state == JobState("photos-0001")
    assert (await reopened(tmp_path)).snapshot()["photos-0001"].state == JobState("photos-0001")


async def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_bytes(b"a file")
    with pytest.raises(StorageFailed, match="Loading the jobs failed: File exists"):
        await JobStorage.open(tmp_path)
