"""Which events of the kernel (inotify(7)) tell that a person has edited a file of a folder."""

from __future__ import annotations

from asyncinotify import Mask

QUIET_SECONDS = 0.2
"""Editors write in several steps (a rename, a new file): they are waited for."""
POLL_SECONDS = 1.0
"""How often is looked where the kernel does not tell."""
RETRY_SECONDS = 2.0
EDITS = (
    Mask.CLOSE_WRITE
    | Mask.MOVED_TO
    | Mask.MOVED_FROM
    | Mask.DELETE
    | Mask.ATTRIB  # A file that could not be read may have been opened up.
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)
GONE = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.UNMOUNT | Mask.IGNORED
