"""Removing the parts of files that a stopped transfer left at a destination."""

from __future__ import annotations

import os

from core.engines.rsync import partial_directory


def remove_partial_files(destination: str) -> bool:
    """Remove the partial directory of a local destination; False when there was none.

    rsync keeps plain files in it and nothing else; a symbolic link in its place is left alone.
    Blocking. Raises OSError. Standard library only: the runner tidies up with it as well.
    """
    path = partial_directory(destination)
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    facts = os.stat(destination)
    with os.scandir(path) as entries:
        for entry in entries:
            os.unlink(entry.path)
    os.rmdir(path)
    # The destination's own time is part of the copy.
    os.utime(destination, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return True
