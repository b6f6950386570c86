"""The parts of files that a stopped transfer left at a destination: kept for later, or removed.

Standard library only: the runner uses this as well. Everything here blocks.
"""

from __future__ import annotations

import os
import re

from core.engines.rsync import partial_directory


def remove_partial_files(destination: str) -> bool:
    """Remove the partial directory of a local destination; False when there was none.

    rsync keeps plain files in it and nothing else; a symbolic link in its place is left alone.
    Raises OSError.
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


def keep_temporary_file(source: str, destination: str, name: bytes) -> bool:
    """Turn what a killed rsync has written of a file into a partial file; False without any.

    rsync that is told to stop does so itself; killed, it leaves `.<name>.<six characters>` beside
    the file (rsync(1), --temp-dir), which nobody would ever remove. A file of such a name that the
    source has too is a copy and no temporary file. Raises OSError.
    """
    folder, base = os.path.split(name)
    if not base or os.path.isabs(name):
        return False
    beneath = os.path.join(os.fsencode(destination), folder)
    pattern = re.compile(rb"\." + re.escape(base) + rb"\.[A-Za-z0-9]{6}")
    kept = os.path.join(os.fsencode(partial_directory(destination)), base)
    try:
        found = [entry for entry in os.listdir(beneath) if pattern.fullmatch(entry)]
    except FileNotFoundError:
        return False
    for entry in found:
        if not os.path.lexists(os.path.join(os.fsencode(source), folder, entry)):
            os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
            os.replace(os.path.join(beneath, entry), kept)
    return bool(found)
