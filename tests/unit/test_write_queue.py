"""Proves that the single writer keeps order, groups what has gathered, and tells each caller the
truth about a disk that fails."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from models.errors import SaveOutcomeUnknown, StorageFailed
from storage import group_commit, spare_files, write_queue
from storage.group_commit import Change, NewContent
from storage.spare_files import MAX_SPARES, SpareFiles, file_system_of
from storage.write_queue import WriteQueue
from utils.durable_file import sync_directory


@pytest_asyncio.fixture
async def queue() -> AsyncIterator[WriteQueue]:
    """A queue, closed afterwards."""
    opened = WriteQueue()
    yield opened
    await opened.close()


def change(path: Path, content: bytes = b"new", **more: Any) -> Change:
    """Replace one file."""
    return Change("Saving", (NewContent(str(path), content, keep_backup=True),), **more)


def names(directory: Path) -> set[str]:
    """Return what a directory holds."""
    return {entry.name for entry in directory.iterdir()}


class Held:
    """Holds the writer in its first change until it is let go."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(10)


class Failing:
    """Makes the n-th call of a function of `os` fail, and every call after it up to `times`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
        self.calls = 0
        self.fails_at = range(0)
        self._real: Callable[..., Any] = getattr(os, name)
        self._code = code
        monkeypatch.setattr(os, name, self._call)

    def at(self, first: int, times: int = 1) -> None:
        """Fail from this call on, counted from now."""
        self.fails_at = range(self.calls + first, self.calls + first + times)

    def _call(self, *arguments: Any, **more: Any) -> Any:
        self.calls += 1
        if self.calls in self.fails_at:
            raise OSError(self._code, os.strerror(self._code))
        return self._real(*arguments, **more)


async def test_what_has_gathered_is_one_group(queue: WriteQueue, tmp_path: Path) -> None:
    held = Held()
    first = asyncio.create_task(queue.submit(change(tmp_path / "first", before=held)))
    await asyncio.to_thread(held.has_begun.wait, 10)
    others = [asyncio.create_task(queue.submit(change(tmp_path / str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    held.may_go_on.set()
    await asyncio.gather(first, *others)
    assert (queue.groups, queue.changes) == (2, 21)
    assert len(names(tmp_path)) == 21


async def test_each_directory_is_synced_once_for_a_group(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = sync_directory

    def note(directory: str) -> None:
        synced.append(directory)
        real(directory)

    monkeypatch.setattr(group_commit, "sync_directory", note)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    held = Held()
    first = asyncio.create_task(queue.submit(change(tmp_path / "a" / "first", before=held)))
    await asyncio.to_thread(held.has_begun.wait, 10)
    others = [
        asyncio.create_task(queue.submit(change(tmp_path / "ab"[n % 2] / str(n)))) for n in range(8)
    ]
    await asyncio.sleep(0)
    held.may_go_on.set()
    await asyncio.gather(first, *others)
    assert synced == [str(tmp_path / "a"), str(tmp_path / "a"), str(tmp_path / "b")]


async def test_changes_of_one_file_are_made_in_order(queue: WriteQueue, tmp_path: Path) -> None:
    path = tmp_path / "file"
    await asyncio.gather(*(queue.submit(change(path, b"%d" % n)) for n in range(50)))
    assert path.read_bytes() == b"49"
    assert path.with_name("file.bak").read_bytes() == b"48"
    await queue.close()
    assert names(tmp_path) == {"file", "file.bak"}


async def save(queue: WriteQueue, path: Path, *contents: bytes) -> None:
    """Save one version after another."""
    for content in contents:
        await queue.submit(change(path, content))


def spares(directory: Path) -> list[Path]:
    """Return the backups that were superseded and wait for the next save."""
    return sorted(directory.glob(".new-*"))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is superseded for as long as a test takes, wherever it runs."""
    monkeypatch.setattr(write_queue, "IDLE_SECONDS", 60.0)
    monkeypatch.setattr(spare_files, "file_system_of", lambda _path: "ext4")


@pytest.mark.usefixtures("patient")
async def test_a_superseded_backup_is_written_over_by_the_next_save(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    await save(queue, path, b"one" * 100, b"two", b"three")
    (spare,) = spares(tmp_path)
    assert spare.read_bytes() == b"one" * 100
    created: list[str] = []
    real = os.open

    def note(name: str, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            created.append(name)
        return real(name, flags, *mode)

    monkeypatch.setattr(os, "open", note)
    await save(queue, tmp_path / "other", b"new")
    assert created == []
    assert (tmp_path / "other").read_bytes() == b"new", "nothing is left of the longer content"
    assert (path.read_bytes(), path.with_name("file.bak").read_bytes()) == (b"three", b"two")


@pytest.mark.usefixtures("patient")
async def test_a_backup_that_somebody_linked_is_left_alone(
    queue: WriteQueue, tmp_path: Path
) -> None:
    """As `cp -al` and rsync's --link-dest do."""
    path, kept = tmp_path / "file", tmp_path / "kept"
    await save(queue, path, b"one", b"two")
    kept.hardlink_to(path.with_name("file.bak"))
    await save(queue, path, b"three", b"four", b"five")
    assert (kept.read_bytes(), kept.stat().st_nlink) == (b"one", 1)
    assert (path.read_bytes(), path.with_name("file.bak").read_bytes()) == (b"five", b"four")


@pytest.mark.usefixtures("patient")
async def test_a_backup_that_somebody_reads_is_left_alone(
    queue: WriteQueue, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    await save(queue, path, b"one", b"two")
    with path.with_name("file.bak").open("rb", buffering=0) as reader:
        await save(queue, path, b"three", b"four", b"five")
        assert reader.read() == b"one"
    assert (path.read_bytes(), path.with_name("file.bak").read_bytes()) == (b"five", b"four")


@pytest.mark.usefixtures("patient")
async def test_a_backup_is_not_written_over_before_the_disk_confirmed_its_successor(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then a power cut may bring it back as the backup."""
    path = tmp_path / "file"
    await save(queue, path, b"one", b"two")
    Failing(monkeypatch, "fsync", errno.EIO).at(2)
    with pytest.raises(SaveOutcomeUnknown):
        await queue.submit(change(path, b"three"))
    assert spares(tmp_path) == []


@pytest.mark.usefixtures("patient")
async def test_nothing_is_written_over_where_a_sync_may_be_no_sync(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a FUSE mount that does not pass it on."""
    monkeypatch.setattr(spare_files, "file_system_of", lambda _path: "fuse.mergerfs")
    await save(queue, tmp_path / "file", b"one", b"two", b"three")
    assert spares(tmp_path) == []


def test_the_file_system_of_a_path_is_told() -> None:
    assert file_system_of("/proc/self") == "proc"
    assert file_system_of("/no such place") is None


async def test_a_single_save_leaves_nothing_behind(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare_files, "file_system_of", lambda _path: "ext4")
    monkeypatch.setattr(write_queue, "IDLE_SECONDS", 0.0)
    for content in (b"one", b"two", b"three"):
        await save(queue, tmp_path / "file", content)
        assert spares(tmp_path) == []


async def test_nothing_is_kept_for_long(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare_files, "file_system_of", lambda _path: "ext4")
    monkeypatch.setattr(write_queue, "IDLE_SECONDS", 2.0)  # A busy machine takes its time.
    await save(queue, tmp_path / "file", b"one", b"two", b"three")
    assert spares(tmp_path)
    async with asyncio.timeout(10):
        while spares(tmp_path):
            await asyncio.sleep(0.01)


def test_no_more_is_kept_than_a_group_needs(tmp_path: Path) -> None:
    kept = SpareFiles()
    for number in range(MAX_SPARES + 5):
        spare = tmp_path / f".new-{number}"
        spare.touch()
        kept.keep(str(spare))
    assert len(spares(tmp_path)) == MAX_SPARES


async def test_nobody_is_told_before_it_is_durable(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def note(*arguments: Any, name: str = name, real: Any = real) -> None:
            steps.append(name)
            real(*arguments)

        monkeypatch.setattr(os, name, note)
    await queue.submit(change(tmp_path / "file"))
    steps.append("told")
    assert steps == ["fsync", "replace", "fsync", "told"]


async def test_a_failed_sync_is_followed_by_a_new_file(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the kernel may take the lost pages for written."""
    opened: list[str] = []
    real = os.open

    def note(path: str, *arguments: Any, **more: Any) -> int:
        opened.append(str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", note)
    Failing(monkeypatch, "fsync", errno.EIO).at(1, times=2)
    await queue.submit(change(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == b"new"
    temporary = [path for path in opened if ".new-" in path]
    assert len(temporary) == len(set(temporary)) == 3
    assert names(tmp_path) == {"file"}


async def test_a_disk_that_goes_on_failing_is_told_in_the_end(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    failing = Failing(monkeypatch, "fsync", errno.EIO)
    failing.at(1, times=1000)
    with pytest.raises(StorageFailed, match="Saving failed: Input/output error"):
        await queue.submit(change(path))
    assert failing.calls == 4
    assert (path.read_bytes(), names(tmp_path)) == (b"old", {"file"})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link", "replace"])
async def test_a_full_disk_is_told_at_once_and_the_old_file_stays(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    path = tmp_path / "file"
    await queue.submit(change(path, b"old"))
    failing = Failing(monkeypatch, call, code)
    failing.at(1, times=1000)
    with pytest.raises(StorageFailed) as caught:
        await queue.submit(change(path))
    failing.fails_at = range(0)
    assert not isinstance(caught.value, SaveOutcomeUnknown)
    assert caught.value.reason == os.strerror(code)
    assert path.read_bytes() == b"old"
    await queue.submit(change(path))
    assert path.read_bytes() == b"new"
    assert not [name for name in names(tmp_path) if name.startswith(".new-")]


async def test_a_directory_that_cannot_be_synced_leaves_the_outcome_unknown(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, "fsync", errno.EIO).at(2)
    with pytest.raises(SaveOutcomeUnknown) as caught:
        await queue.submit(change(tmp_path / "file"))
    assert "did not confirm it (Input/output error)" in str(caught.value)
    assert (tmp_path / "file").read_bytes() == b"new"


async def test_a_failure_is_its_own_changes_alone(queue: WriteQueue, tmp_path: Path) -> None:
    held = Held()
    first = asyncio.create_task(queue.submit(change(tmp_path / "first", before=held)))
    await asyncio.to_thread(held.has_begun.wait, 10)
    paths = [tmp_path / "a", tmp_path / "no such folder" / "b", tmp_path / "c"]
    others = [asyncio.create_task(queue.submit(change(path))) for path in paths]
    await asyncio.sleep(0)
    held.may_go_on.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert queue.groups == 2
    assert [type(result) for result in results] == [
        type(None),
        type(None),
        StorageFailed,
        type(None),
    ]
    assert names(tmp_path) == {"first", "a", "c"}


async def test_what_before_raises_is_the_result_and_nothing_is_changed(
    queue: WriteQueue, tmp_path: Path
) -> None:
    def refuse() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await queue.submit(change(tmp_path / "file", before=refuse))
    assert names(tmp_path) == set()


async def test_a_new_thing_of_two_files_is_there_whole_or_not_at_all(
    queue: WriteQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(NewContent(str(tmp_path / name), b"x") for name in ("a", "b"))
    Failing(monkeypatch, "replace", errno.ENOSPC).at(2)
    with pytest.raises(StorageFailed):
        await queue.submit(Change("Creating", files, is_new=True))
    assert names(tmp_path) == set()


async def test_no_more_wait_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "MAX_WAITING", 5)
    queue = WriteQueue()
    held = Held()
    tasks = [
        asyncio.create_task(queue.submit(change(tmp_path / str(n), before=held if not n else None)))
        for n in range(12)
    ]
    await asyncio.to_thread(held.has_begun.wait, 10)
    assert queue.waiting == 5
    held.may_go_on.set()
    await asyncio.gather(*tasks)
    assert len(names(tmp_path)) == 12
    await queue.close()


async def test_closing_drains_and_may_be_done_twice(queue: WriteQueue, tmp_path: Path) -> None:
    tasks = [asyncio.create_task(queue.submit(change(tmp_path / str(n)))) for n in range(30)]
    await asyncio.sleep(0)
    await queue.close()
    await queue.close()
    await asyncio.gather(*tasks)
    assert len(names(tmp_path)) == 30
    with pytest.raises(StorageFailed, match="closed"):
        await queue.submit(change(tmp_path / "late"))


async def test_a_caller_who_goes_away_does_not_undo_it(queue: WriteQueue, tmp_path: Path) -> None:
    held = Held()
    task = asyncio.create_task(queue.submit(change(tmp_path / "file", before=held)))
    await asyncio.to_thread(held.has_begun.wait, 10)
    task.cancel()
    held.may_go_on.set()
    await asyncio.gather(task, return_exceptions=True)
    await queue.submit(change(tmp_path / "other"))
    assert (tmp_path / "file").read_bytes() == b"new"
