"""Proves that a damaged definition is restored from its previous version or listed, each time told,
and that nothing else is affected."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from models.job_state import JobState
from models.job_status import JobStatus
from storage.job_documents import job_content
from storage.job_storage import JobStorage
from tests.fakes.builders import a_job
from tests.fakes.changes import save_job, save_state
from tests.fakes.observers import Noted

ID = "photos-0001"
CUTS = 100
BOMB = b"a: &a [x, x]\n" + b"".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n".encode() for n in range(24)
)
DAMAGE = {
    "empty": b"",
    "zeroed": b"\x00" * 700,
    "NULs in the middle": b"format: 1\nid: photos-0001\n" + b"\x00" * 200,
    "bomb": BOMB,
    "merge keys": b"a: &a {x: 1}\nb: {<<: *a}\n",
    "brackets": b"[" * 100_000,
    "braces": b"a: " + b"{" * 100_000,
    "another job": job_content(a_job("music-0002")),
    "not YAML": b"name: 'x\n  - {",
    "not text": bytes(range(128, 256)) * 8,
    "a list": b"- name: Photos\n",
    "too large": b"#" * (1024 * 1024 + 1),
    "a job of the future": b"format: 2\n" + job_content(a_job())[10:],
}


@pytest_asyncio.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Path]:
    """Two jobs; the first was saved twice, so that it has a previous version."""
    store = await JobStorage.open(tmp_path)
    await store.create(a_job(name="Before"), JobState(ID))
    await store.create(a_job("music-0002", name="Music"), JobState("music-0002"))
    await save_job(store, a_job(name="Now"), expected_version=1)
    await save_state(store, JobState(ID, status=JobStatus.PAUSED, message="kept"))
    await store.close()
    yield tmp_path


async def opened(directory: Path) -> tuple[JobStorage, Noted, float]:
    """Return what a restart finds, what it told, and how many seconds it took."""
    noted = Noted()
    began = time.perf_counter()
    store = await JobStorage.open(directory, noted.observer)
    seconds = time.perf_counter() - began
    await store.close()
    return store, noted, seconds


async def assert_restored(directory: Path, content: bytes) -> float:
    """Damage the first job's file, and check that its previous version is in force."""
    path = directory / "jobs" / f"{ID}.yaml"
    path.write_bytes(content)
    store, noted, seconds = await opened(directory)
    record = store.snapshot()[ID]
    assert (record.job.name, record.job.version) == ("Before", 3)
    assert (record.state.status, record.state.message) == (JobStatus.PAUSED, "kept")
    assert store.snapshot()["music-0002"].job.name == "Music"
    assert store.damaged() == ()
    (fault,) = noted.faults
    assert (fault.error_type, fault.job_id, fault.job_name) == ("JobFileRecovered", ID, "Before")
    aside = path.with_name(str(fault.details["kept_as"]))
    assert aside.read_bytes() == content
    assert str(fault.details["kept_as"]) in fault.message
    assert path.read_bytes() == path.with_name(path.name + ".bak").read_bytes()
    aside.unlink()
    return seconds


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_file_gives_way_to_the_version_before(directory: Path, damage: str) -> None:
    await assert_restored(directory, DAMAGE[damage])
    again, noted, _ = await opened(directory)
    assert (again.snapshot()[ID].job.version, noted.faults) == (3, []), "once and for good"


async def test_cut_anywhere_it_is_restored(directory: Path) -> None:
    """Also where what is left would be a job: with another destination, or without its options."""
    path = directory / "jobs" / f"{ID}.yaml"
    whole = path.read_bytes()
    (state,) = (directory / "state").glob(f"{ID}.yaml")
    kept_state = state.read_bytes()
    slowest, restored = 0.0, 0
    for number in range(CUTS):
        cut = whole[: number * len(whole) // CUTS]
        state.write_bytes(kept_state)
        slowest = max(slowest, await assert_restored(directory, cut))
        restored += 1
    assert restored == CUTS
    print(f"{restored} cuts, all restored, the slowest in {slowest * 1000:.1f} ms")  # noqa: T201


@pytest.mark.parametrize("damage", DAMAGE)
async def test_without_a_usable_backup_it_is_listed(directory: Path, damage: str) -> None:
    path = directory / "jobs" / f"{ID}.yaml"
    backup = path.with_name(path.name + ".bak")
    for content in (None, DAMAGE[damage], b""):
        path.write_bytes(DAMAGE[damage])
        backup.unlink(missing_ok=True)
        if content is not None:
            backup.write_bytes(content)
        store, noted, _ = await opened(directory)
        assert set(store.snapshot()) == {"music-0002"}
        (damaged,) = store.damaged()
        assert damaged.id == ID
        assert damaged.reason
        (fault,) = noted.faults
        assert (fault.error_type, fault.job_id) == ("JobFileDamaged", ID)
        assert damaged.reason in fault.message
        assert path.read_bytes() == DAMAGE[damage], "left to the person"


async def test_only_the_newest_damaged_files_are_kept(directory: Path) -> None:
    path = directory / "jobs" / f"{ID}.yaml"
    for number in range(8):
        path.write_bytes(b"[" * number)
        await opened(directory)
    kept = sorted(path.parent.glob("*.damaged-*"))
    assert [len(file.read_bytes()) for file in kept] == [3, 4, 5, 6, 7]


async def test_a_restored_job_takes_no_version_that_was_given_out(directory: Path) -> None:
    """Who still holds the lost version must not save over the restored one unseen."""
    path = directory / "jobs" / f"{ID}.yaml"
    path.write_bytes(b"")
    store, _, _ = await opened(directory)
    assert store.snapshot()[ID].job.version > 2
    store = await JobStorage.open(directory)
    await save_job(store, a_job(name="After"), expected_version=3)
    await store.close()
    again, _, _ = await opened(directory)
    assert (again.snapshot()[ID].job.name, again.snapshot()[ID].job.version) == ("After", 4)


async def test_a_state_cut_anywhere_gives_way_to_the_one_before(directory: Path) -> None:
    path = directory / "state" / f"{ID}.yaml"
    store = await JobStorage.open(directory)
    before = store.snapshot()[ID].state
    await save_state(store, JobState(ID, status=JobStatus.COMPLETED, last_good_at="2026"))
    await store.close()
    whole, backup = path.read_bytes(), path.with_name(path.name + ".bak").read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        path.with_name(path.name + ".bak").write_bytes(backup)
        store, noted, _ = await opened(directory)
        assert store.snapshot()[ID].state == before
        assert [fault.error_type for fault in noted.faults] == ["JobStateRecovered"]
