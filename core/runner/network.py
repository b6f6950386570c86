"""What the system tells of a transfer through a network: proc(5), where the tool itself is silent.

Nothing here raises: a process may end at any moment, and may not be looked at by everybody.
"""

from __future__ import annotations

import os
import stat

from core.engines.base import OpenFile
from core.engines.rsync_messages import PARTIAL_DIRECTORY

_SUFFIX = len(".x7Yz09")
"""rsync writes a file as `.<name>.<six characters>` (rsync(1), --temp-dir)."""


def bytes_written(pid: int, *, through_helper: bool = False) -> int:
    """Return how many bytes a process has handed to the system: with a local source, what it sent.

    What it prints counts as well, which is a line for each file. What goes `through_helper`, ssh,
    is told only while that lives: then the system adds up what both have written (proc(5), io).
    """
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            figures = dict(line.split(b": ") for line in file)
        # Looked at last: whoever is there still has not been added.
        is_told = not through_helper or bool(_children_of(pid))
        return int(figures[b"wchar"]) if is_told else 0
    except (OSError, ValueError, KeyError):
        return 0


def file_being_received(pid: int, destination: str) -> OpenFile | None:
    """Return the file beneath `destination` that a process's helper is writing, and how far.

    rsync writes in a process of its own, a child of the one that was started.
    """
    top = os.fsencode(os.path.realpath(destination)).rstrip(b"/") + b"/"
    try:
        children = _children_of(pid)
    except OSError:
        return None
    return next(filter(None, (_written_by(int(child), top) for child in children)), None)


def _children_of(pid: int) -> list[bytes]:
    with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
        return file.read().split()


def _written_by(pid: int, top: bytes) -> OpenFile | None:
    found: OpenFile | None = None
    compared = False
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            link = os.fsencode(f"/proc/{pid}/fd/{number}")
            path = os.readlink(link)
            if not path.startswith(top) or not stat.S_ISREG(os.stat(link).st_mode):
                continue
            position, is_written = _facts_of(pid, number)
            compared = compared or not is_written
            if is_written:
                found = OpenFile(_final_name(path[len(top) :]), position)
    except (OSError, ValueError, IndexError):
        return None
    return found._replace(is_compared=compared) if found else None


def _facts_of(pid: int, number: str) -> tuple[int, bool]:
    with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
        position, flags = (int(file.readline().split()[1], base) for base in (10, 8))
    return position, flags & os.O_ACCMODE != os.O_RDONLY


def _final_name(written: bytes) -> bytes:
    folder, base = os.path.split(written)
    if os.path.basename(folder) == os.fsencode(PARTIAL_DIRECTORY):
        # A partial file is written on where it lies.
        return os.path.join(os.path.dirname(folder), base)
    if base.startswith(b".") and base[-_SUFFIX:].startswith(b"."):
        base = base[1:-_SUFFIX]
    return os.path.join(folder, base)


def names_file(listing: list[bytes]) -> bool:
    """Whether `rsync --list-only` has listed a regular file."""
    return any(line.startswith(b"-") for line in listing)
