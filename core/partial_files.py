"""The parts of files that a stopped transfer left at a destination: kept for later, or removed.

Standard library only: the runner uses this as well. Everything here blocks.
"""

from __future__ import annotations

import os
import re
import stat

from core.engines.rsync_messages import PARTIAL_DIRECTORY

_TEMPORARY_MODE = 0o600
"""rsync makes its temporary files so, and gives them the mode of the source when they are whole."""


def remove_partial_files(destination: str) -> bool:
    """Remove the partial directory at the top of a destination; False when there was none.

    rsync keeps plain files in it and nothing else; a symbolic link in its place is left alone.
    Raises OSError.
    """
    path = os.path.join(destination, PARTIAL_DIRECTORY)
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    facts = os.stat(destination)
    with os.scandir(path) as entries:
        for entry in entries:
            os.unlink(entry.path)
    os.rmdir(path)
    # The folder's own time is part of the copy.
    os.utime(destination, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return True


def remove_all_partial_files(destination: str) -> int:
    """Remove the partial directories of every folder of a destination; returns how many.

    Follows no symbolic link. Raises OSError.
    """
    removed = 0
    for folder, names, _ in os.walk(destination):
        if PARTIAL_DIRECTORY in names:
            names.remove(PARTIAL_DIRECTORY)
            removed += remove_partial_files(folder)
    return removed


def keep_partial_file(source: str, destination: str, name: bytes) -> bool:
    """Bring what an ended rsync has written of a file to where a resuming one looks for it.

    It lies in the partial directory at the top, or, when rsync was killed, as
    `.<name>.<six characters>` beside the file (rsync(1), --temp-dir), which nobody would ever
    remove. A file of such a name that the source has too is a copy. False when there is nothing
    to keep. Raises OSError.
    """
    folder, base = os.path.split(name)
    if not base or os.path.isabs(name) or not _is_of_source(source, name):
        return False
    top = os.fsencode(destination)
    kept = os.path.join(top, folder, os.fsencode(PARTIAL_DIRECTORY), base)
    original = os.path.join(os.fsencode(source), folder)
    candidates = [
        os.path.join(top, os.fsencode(PARTIAL_DIRECTORY), base),
        *_temporary_files(original, os.path.join(top, folder), base),
    ]
    found = [path for path in candidates if path != kept and os.path.isfile(path)]
    for path in found:
        os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
        os.replace(path, kept)
    return bool(found)


def _is_of_source(source: str, name: bytes) -> bool:
    if os.path.isfile(os.path.join(os.fsencode(source), name)):
        return True
    return os.path.isfile(source) and os.path.basename(os.fsencode(source)) == name


def _temporary_files(source: bytes, folder: bytes, base: bytes) -> list[bytes]:
    pattern = re.compile(rb"\." + re.escape(base) + rb"\.[A-Za-z0-9]{6}")
    try:
        entries = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [
        os.path.join(folder, entry)
        for entry in entries
        if pattern.fullmatch(entry)
        and not os.path.lexists(os.path.join(source, entry))
        and stat.S_IMODE(os.lstat(os.path.join(folder, entry)).st_mode) == _TEMPORARY_MODE
    ]
