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


class SpareFiles:
    """Names of files without a use, by directory; for one thread."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return any(self._names.values())

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
