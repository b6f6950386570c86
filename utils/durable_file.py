"""The one place that replaces files so that a power cut leaves the old or the new version.

Temporary file in the same directory, fsync, rename over the name, fsync of the directory; see
rename(2) and fsync(2), which leaves the directory entry to a sync of the directory itself.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat

TEMPORARY_PREFIX = ".new-"
BACKUP_SUFFIX = ".bak"
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What link(2) says on file systems such as exFAT and some FUSE mounts."""
AnyPath = str | os.PathLike[str]


class NotSynced(OSError):
    """The new file is in its place, but the disk did not confirm it: after a power cut the old or
    the new version may be there."""


class Replacement:
    """One file on its way to its place: written, then synced, then published, or dropped.

    Apart, so that many files can be written before the first sync: the disk then commits them
    together. Whoever publishes syncs the directory afterwards.
    """

    def __init__(
        self,
        path: AnyPath,
        content: bytes,
        *,
        modified_at_ns: int | None = None,
        spare: str | None = None,
    ) -> None:
        """Write `content` beside `path` (mode 0600). Raises OSError, and then nothing is left.

        `modified_at_ns` becomes the time of the file, in nanoseconds since the epoch. `spare` is
        a file of the same directory that is written over, if nobody else has it, instead of
        making one: what `spare` of an earlier replacement was, and only after its directory was
        synced (until then a power cut may bring it back as the backup).
        """
        self.path = os.fspath(path)
        self.spare: str | None = None
        """What was the backup before, when it was asked to be kept (see `publish`)."""
        self._temporary, self._descriptor = _opened_spare(spare, len(content)) or _created(path)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._descriptor, view) :]
            if modified_at_ns is not None:
                os.utime(self._descriptor, ns=(modified_at_ns, modified_at_ns))
        except OSError:
            self.drop()
            raise

    def start_writing(self) -> None:
        """Have the disk begin, and wait for nothing (posix_fadvise(2))."""
        try:
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            return  # An advice only; what cannot be written fails at the sync.

    def sync(self) -> None:
        """Make the content durable. Raises OSError; a second try needs a new file, for after a
        failed fsync the kernel may take the lost pages for written."""
        os.fsync(self._descriptor)
        self._close()

    def publish(self, *, keep_backup: bool = False, keep_spare: bool = False) -> None:
        """Put the file in its place. Raises OSError; the old file is then untouched.

        With `keep_backup` the present file becomes `<name>.bak` by a hard link and a rename,
        without a copy unless the file system has no hard links. With `keep_spare` what was the
        backup until now stays as `spare`.
        """
        if keep_backup:
            if keep_spare:
                self.spare = _linked_spare(backup_of(self.path))
            _link_backup(self.path)
        os.replace(self._temporary, self.path)

    def publish_new(self) -> None:
        """Put the file in its place, where nothing is yet; never replaces anything.

        Raises FileExistsError when something is there, else OSError; nothing was then changed.
        """
        try:
            os.link(self._temporary, self.path)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _rename_to_new(self._temporary, self.path)
        self.drop()

    def drop(self) -> None:
        """Leave the old file where it is, and nothing beside it; may be called at any time."""
        try:
            self._close()
        except OSError:
            pass  # Its content is not wanted.
        drop_file(self._temporary)
        if self.spare is not None:
            drop_file(self.spare)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def replace_file(path: AnyPath, content: bytes, *, keep_backup: bool = False) -> None:
    """Put `content` at `path` (mode 0600), durable when this returns.

    Raises OSError, and then the old file is untouched; or NotSynced, and then the new one is there
    but may not last.
    """
    replacement = Replacement(path, content)
    try:
        replacement.sync()
        replacement.publish(keep_backup=keep_backup)
    except OSError:
        replacement.drop()
        raise
    try:
        sync_directory(os.path.dirname(path) or ".")
    except OSError as error:
        raise NotSynced(error.errno, error.strerror, os.fspath(path)) from error


def create_file(path: AnyPath, content: bytes) -> None:
    """Put `content` at `path` (mode 0600) where nothing is yet, durable when this returns.

    Raises FileExistsError, OSError; nothing is then left, unless the disk did not confirm it.
    """
    new = Replacement(path, content)
    try:
        new.sync()
        new.publish_new()
    except OSError:
        new.drop()
        raise
    sync_directory(os.path.dirname(path) or ".")


def remove_file(path: AnyPath) -> None:
    """Remove a file and its backup, durable when this returns. Raises OSError."""
    for name in (os.fspath(path), backup_of(path)):
        _remove_if_there(name)
    sync_directory(os.path.dirname(path) or ".")


def drop_file(name: str) -> None:
    """Remove a file that nobody needs, if that can be done; the next start removes the others."""
    try:
        os.unlink(name)
    except OSError:
        return


def remove_leftovers(directory: AnyPath) -> int:
    """Remove what writers that were cut off left in a directory; returns how many files.

    Only for who holds the directory: another writer's file under way would be among them.
    Raises OSError.
    """
    count = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(TEMPORARY_PREFIX):
                _remove_if_there(entry.path)
                count += 1
    return count


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
    directory, slash, name = os.fspath(path).rpartition("/")
    return f"{directory}{slash}{TEMPORARY_PREFIX}{name}.{os.urandom(4).hex()}"


def _created(path: AnyPath) -> tuple[str, int]:
    name = _temporary_name(path)
    return name, os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _opened_spare(name: str | None, size: int) -> tuple[str, int] | None:
    """Open a file to write over it, at most `size` bytes long; None (and it is gone) when it is
    not ours alone."""
    if name is None:
        return None
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = -1
    try:
        descriptor = os.open(name, flags)
        if _is_ours_alone(descriptor):
            os.ftruncate(descriptor, min(size, os.fstat(descriptor).st_size))
            return name, descriptor
    except OSError:
        pass  # The file that is made instead fails in the same way, if it is the disk.
    if descriptor >= 0:
        os.close(descriptor)
    drop_file(name)
    return None


def _is_ours_alone(descriptor: int) -> bool:
    """Whether a file has no other name (`cp -al` gives one) and nobody else has it open.

    A write lease is granted only then (fcntl(2), Leases). Raises OSError when it is not, or where
    the file system has no leases.
    """
    facts = os.fstat(descriptor)
    if facts.st_nlink != 1 or stat.S_IMODE(facts.st_mode) != 0o600:
        return False
    # Whoever opens the file while we have the lease is announced by a signal: SIGIO would end us.
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True


def _linked_spare(backup: str) -> str | None:
    spare = _temporary_name(backup)
    try:
        os.link(backup, spare)
    except OSError:
        return None  # There is none yet, or no hard links: then there is no spare.
    return spare


def _link_backup(path: AnyPath) -> None:
    if not os.path.lexists(path):
        return
    link = _temporary_name(backup_of(path))
    try:
        os.link(path, link)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _copy(path, link)
    try:
        os.replace(link, backup_of(path))
    except OSError:
        _remove_if_there(link)
        raise


def _rename_to_new(temporary: str, path: str) -> None:
    # Without hard links the one way that fails when the name is taken: who could make the empty
    # file may replace it.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        os.replace(temporary, path)
    except OSError:
        _remove_if_there(path)
        raise


def _copy(path: AnyPath, target: str) -> None:
    with open(path, "rb") as file:
        copy = Replacement(target, file.read())
    try:
        copy.sync()
        copy.publish()
    except OSError:
        copy.drop()
        raise


def _remove_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
