"""Which copies have proven a source already, on disk: one copy proves one source.

Where a destination does not tell `A` from `a`, two sources lead to one file there. Loaded by the
process that deletes sources alone; standard library only.
"""

from __future__ import annotations

import errno
import os
import sqlite3

CLAIMED_NAME = "claimed-copies.db"
_INODES = 2**63
"""SQLite has signed integers alone."""
_CLAIM = (
    "INSERT INTO claimed VALUES (?, ?, ?, ?) "
    "ON CONFLICT (device, inode) DO UPDATE SET device = device "
    "RETURNING source_device, source_inode"
)


class ClaimedCopies:
    """Remembers whose copy each file of the destination is, in a file, so that millions of them
    cost no memory; nothing of it is left, however the process ends. Every method raises
    OSError."""

    def __init__(self, directory: str) -> None:
        path = os.path.join(directory, CLAIMED_NAME)
        try:
            self._base = sqlite3.connect(path, isolation_level=None)
            # Nobody reads it after a crash, and nobody else meanwhile.
            self._base.execute("PRAGMA journal_mode=OFF")
            self._base.execute("PRAGMA synchronous=OFF")
            self._base.execute("PRAGMA locking_mode=EXCLUSIVE")
            # Never ended: what does not fit into its small cache goes to the file.
            self._base.execute("BEGIN EXCLUSIVE")
            self._base.execute(
                "CREATE TABLE claimed (device INTEGER, inode INTEGER, source_device INTEGER,"
                " source_inode INTEGER, PRIMARY KEY (device, inode)) WITHOUT ROWID"
            )
            # What is written from here on is in no folder any more.
            os.unlink(path)
        except sqlite3.Error as error:
            raise _as_os_error(error) from error

    def claim(self, source: os.stat_result, copy: os.stat_result) -> bool:
        """Take a copy as that of a source; False when it is the copy of another one already. Two
        names of one source (hard links) may share one copy."""
        ours, theirs = ((facts.st_dev, facts.st_ino - _INODES) for facts in (source, copy))
        try:
            found = self._base.execute(_CLAIM, (*theirs, *ours)).fetchall()
        except sqlite3.Error as error:
            raise _as_os_error(error) from error
        return found == [ours]


def _as_os_error(error: sqlite3.Error) -> OSError:
    return OSError(errno.EIO, f"Which copies are taken could not be written down: {error}")
