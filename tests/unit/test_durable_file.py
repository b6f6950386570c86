"""Proves that a file is replaced whole or not at all, privately, with its previous version kept."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from utils.durable_file import backup_of, remove_file, replace_file, try_lock


def names(directory: Path) -> set[str]:
    """Return what a directory holds."""
    return {entry.name for entry in directory.iterdir()}


def test_a_new_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a"
    replace_file(path, b"one", keep_backup=True)
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == {"a"}


def test_the_backup_holds_the_version_before(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"one", b"two", b"three"):
        before = path.stat().st_ino if path.exists() else None
        replace_file(path, content, keep_backup=True)
    assert path.read_bytes() == b"three"
    assert Path(backup_of(path)).read_bytes() == b"two"
    assert Path(backup_of(path)).stat().st_ino == before, "a link, not a copy"
    assert stat.S_IMODE(Path(backup_of(path)).stat().st_mode) == 0o600
    assert names(tmp_path) == {"a", "a.bak"}


def test_without_hard_links_the_backup_is_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links on this file system")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "file"
    for content in (b"one", b"two", b"three"):
        replace_file(path, content, keep_backup=True)
    assert path.read_bytes() == b"three"
    assert Path(backup_of(path)).read_bytes() == b"two"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "file.bak"]


def test_without_backup_there_is_none(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        replace_file(tmp_path / "a", content)
    assert names(tmp_path) == {"a"}


def test_large_and_empty_contents(tmp_path: Path) -> None:
    for content in (b"", os.urandom(3_000_000)):
        replace_file(tmp_path / "a", content)
        assert (tmp_path / "a").read_bytes() == content


# A new file has no version before it that could be linked.
@pytest.mark.parametrize(
    ("call", "is_new"),
    [(call, is_new) for call in ("fsync", "write", "replace") for is_new in (True, False)]
    + [("link", False)],
)
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, is_new: bool
) -> None:
    path = tmp_path / "a"
    if not is_new:
        replace_file(path, b"one", keep_backup=True)
        replace_file(path, b"two", keep_backup=True)

    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"three", keep_backup=True)
    monkeypatch.undo()
    if is_new:
        assert names(tmp_path) == set()
    else:
        assert path.read_bytes() == b"two"
        assert Path(backup_of(path)).read_bytes() == b"one"
        assert names(tmp_path) == {"a", "a.bak"}


def test_a_directory_that_takes_no_files(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        replace_file(tmp_path / "missing" / "a", b"one")
    assert names(tmp_path) == set()


def test_the_directory_is_synced_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    synced: list[tuple[bool, bool]] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_directory, path.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    replace_file(path, b"one")
    assert synced == [(False, False), (True, True)]


def test_a_bare_name_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    replace_file(Path("a"), b"one")
    assert names(tmp_path) == {"a"}
    remove_file(Path("a"))
    assert names(tmp_path) == set()


def test_remove_takes_the_backup_too(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"one", b"two"):
        replace_file(path, content, keep_backup=True)
    remove_file(path)
    assert names(tmp_path) == set()
    remove_file(path)


def test_a_lock_excludes_a_second_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = try_lock(path)
    assert first is not None
    assert try_lock(path) is None
    # With POSIX locks closing any descriptor of the file would have let go of it.
    os.close(os.open(path, os.O_RDWR))
    assert try_lock(path) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.close(first)
    again = try_lock(path)
    assert again is not None
    os.close(again)


def test_a_lock_excludes_another_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from utils.durable_file import try_lock; "
        "sys.exit(try_lock(Path(sys.argv[1])) is not None)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "lock")]
    root = Path(__file__).resolve().parents[2]
    held = try_lock(tmp_path / "lock")
    assert held is not None
    assert subprocess.run(argv, cwd=root).returncode == 0, "it got a lock that is held"
    os.close(held)
    assert subprocess.run(argv, cwd=root).returncode == 1, "it did not get a free lock"
