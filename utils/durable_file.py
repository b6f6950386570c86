"""The one place that replaces files so that a power cut leaves the old or the new version.

Temporary file in the same directory, fsync, rename over the name, fsync of the directory; see
rename(2) and fsync(2), which leaves the directory entry to a sync of the directory itself.
"""

from __future__ import annotations

import errno
import fcntl
import os

TEMPORARY_PREFIX = ".new-"
BACKUP_SUFFIX = ".bak"
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What link(2) says on file systems such as exFAT and some FUSE mounts."""
AnyPath = str | os.PathLike[str]


def replace_file(path: AnyPath, content: bytes, *, keep_backup: bool = False) -> None:
    """Put `content` at `path` (mode 0600), durable when this returns.

    With `keep_backup` the present file becomes `<name>.bak` by a hard link and a rename, without a
    copy unless the file system has no hard links. Raises OSError; before the rename the old file is
    then untouched.
    """
    temporary = _temporary_name(path)
    try:
        _write_synced(temporary, content)
        if keep_backup:
            _link_backup(path)
        os.replace(temporary, path)
    except OSError:
        _remove_if_there(temporary)
        raise
    sync_directory(os.path.dirname(path) or ".")


def remove_file(path: AnyPath) -> None:
    """Remove a file and its backup, durable when this returns. Raises OSError."""
    for name in (os.fspath(path), backup_of(path)):
        _remove_if_there(name)
    sync_directory(os.path.dirname(path) or ".")


def backup_of(path: AnyPath) -> str:
    """Return where the previous version of a file is kept."""
    return os.fspath(path) + BACKUP_SUFFIX


def sync_directory(directory: AnyPath) -> None:
    """Make the entries of a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(path: AnyPath) -> int | None:
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


def _temporary_name(path: AnyPath) -> str:
    # os.urandom and not `secrets`: that loads OpenSSL, 4 MiB that the runner cannot spare.
    directory, name = os.path.split(path)
    return os.path.join(directory, f"{TEMPORARY_PREFIX}{name}.{os.urandom(4).hex()}")


def _write_synced(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link_backup(path: AnyPath) -> None:
    if not os.path.lexists(path):
        return
    link = _temporary_name(backup_of(path))
    try:
        os.link(path, link)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        with open(path, "rb") as file:
            _write_synced(link, file.read())
    try:
        os.replace(link, backup_of(path))
    except OSError:
        _remove_if_there(link)
        raise


def _remove_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
