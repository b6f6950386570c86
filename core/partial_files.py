"""Removing the partial files that a stopped transfer left at a destination."""

from __future__ import annotations

import os
import shutil

from core.engines.rsync import PARTIAL_DIRECTORY


def remove_partial_files(destination: str) -> int:
    """Remove every partial directory beneath a local destination; returns how many there were.

    Symbolic links are not followed. Blocking. Raises OSError.
    """
    removed = 0
    for directory, names, _ in os.walk(destination):
        if PARTIAL_DIRECTORY in names:
            names.remove(PARTIAL_DIRECTORY)
            path = os.path.join(directory, PARTIAL_DIRECTORY)
            if not os.path.islink(path):
                shutil.rmtree(path)
                removed += 1
    return removed
