"""Backups that were superseded, kept for a moment so that the next saves write over them.

Making a file and freeing one is what costs most in a save: ext4 searches past every inode that was
freed within the last minutes, and gives back the blocks of the old one. Writers in a row need
neither.
"""

from __future__ import annotations

import os

from utils.durable_file import drop_file

MAX_SPARES = 64
"""In each directory, as many as the largest group needs."""
KEEPS_ITS_WORD = frozenset({"ext3", "ext4", "xfs", "tmpfs"})
"""Where a synced directory is durable. Elsewhere (a FUSE mount may answer a sync that it never
passes on) a power cut could bring back the name of a file that was written over."""


class SpareFiles:
    """Names of files without a use, by directory; for one thread."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._can_keep: dict[str, bool] = {}
        self.in_a_row = False
        """Whether saves come one right after the other: only then is anything kept, so that a
        single one leaves nothing behind for a moment."""

    def __bool__(self) -> bool:
        return any(self._names.values())

    def wants(self, path: str) -> bool:
        """Whether what a new version of `path` supersedes may be kept."""
        directory = os.path.dirname(path)
        if not self.in_a_row:
            return False
        if directory not in self._can_keep:
            self._can_keep[directory] = file_system_of(directory) in KEEPS_ITS_WORD
        return self._can_keep[directory]

    def take(self, path: str) -> str | None:
        """Return a file that may be written over to become `path`, if there is one."""
        names = self._names.get(os.path.dirname(path))
        return names.pop() if names else None

    def keep(self, name: str | None) -> None:
        """Keep a file whose directory was synced since it got this name."""
        if name is None:
            return
        names = self._names.setdefault(os.path.dirname(name), [])
        if len(names) < MAX_SPARES:
            names.append(name)
        else:
            drop_file(name)

    def clear(self) -> None:
        """Remove them all."""
        for names in self._names.values():
            while names:
                drop_file(names.pop())


def file_system_of(path: str) -> str | None:
    """Return the type of the file system, such as `ext4`; None when the system does not tell.

    By device from /proc/self/mountinfo (proc_pid_mountinfo(5)); btrfs numbers its devices
    otherwise and is among those not told.
    """
    try:
        device = os.stat(path).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            lines = mounts.readlines()
    except OSError:
        return None
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] == wanted and kind:
            return kind.split()[0]
    return None
