"""The one place that replaces files so that a power cut leaves the old or the new version.

Temporary file in the same directory, fsync, rename over the name, fsync of the directory; see
rename(2) and fsync(2), which leaves the directory entry to a sync of the directory itself.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

TEMPORARY_PREFIX = ".new-"
BACKUP_SUFFIX = ".bak"


def replace_file(path: Path, content: bytes, *, keep_backup: bool = False) -> None:
    """Put `content` at `path` (mode 0600), durable when this returns.

    With `keep_backup` the present file becomes `<name>.bak` by a hard link and a rename, without a
    copy. Raises OSError; before the rename the old file is then untouched.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}.{_random_part()}")
    try:
        _write_synced(temporary, content)
        if keep_backup:
            _link_backup(path)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file and its backup, durable when this returns. Raises OSError."""
    for name in (path, backup_of(path)):
        name.unlink(missing_ok=True)
    sync_directory(path.parent)


def backup_of(path: Path) -> Path:
    """Return where the previous version of a file is kept."""
    return path.with_name(path.name + BACKUP_SUFFIX)


def sync_directory(directory: Path) -> None:
    """Make the entries of a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """Return a descriptor that holds an exclusive flock on `path`, or None when another has it.

    flock and never lockf: POSIX locks are per process and go with the first descriptor that is
    closed (fcntl(2)). Raises OSError when the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _random_part() -> str:
    # Not `secrets`: it loads OpenSSL, 4 MiB that the runner does not have to spare.
    return os.urandom(4).hex()


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link_backup(path: Path) -> None:
    link = path.with_name(f"{TEMPORARY_PREFIX}{path.name}.{_random_part()}.bak")
    try:
        os.link(path, link)
    except FileNotFoundError:
        return
    try:
        os.replace(link, backup_of(path))
    except OSError:
        link.unlink(missing_ok=True)
        raise
