"""Finds processes by what the kernel knows of them: their environment, or a file they hold open.

For what no file tells: who was started by a runner that was killed before it could write it down,
and who left the process group that was signalled. Standard library only; blocking, some
milliseconds in all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from utils.process_identity import ProcessIdentity, identify

RUN_VARIABLE = "LONGSHORE_RUN"
"""In the environment of everything that a run started: the run's id."""


def started_by_run(run_id: str, lock_path: str | None = None) -> tuple[ProcessIdentity, ...]:
    """Return the living processes that a run started, wherever they moved to; never this one.

    With `lock_path` also those that hold the run's lock, as its runner does. Processes of other
    users, which may not be looked at, are passed over.
    """
    mark = os.fsencode(f"{RUN_VARIABLE}={run_id}")
    lock = _inode_of(lock_path)
    found = []
    for pid in _pids():
        who = identify(pid)
        if who is not None and (_has_in_environment(pid, mark) or _holds(pid, lock)):
            found.append(who)
    return tuple(found)


def _pids() -> Iterator[int]:
    own = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != own:
            yield int(name)


def _has_in_environment(pid: int, entry: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return entry in file.read().split(b"\0")
    except OSError:
        return False  # It has ended, or is somebody else's.


def _holds(pid: int, inode: tuple[int, int] | None) -> bool:
    if inode is None:
        return False
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    return any(
        _inode_of(f"/proc/{pid}/fd/{number}") == inode and _is_locked(pid, number)
        for number in numbers
    )


def _is_locked(pid: int, number: str) -> bool:
    # A backup of the data directory has the file open as well, and is a stranger (proc(5), fdinfo).
    try:
        with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
            return any(line.startswith(b"lock:") for line in file)
    except OSError:
        return False


def _inode_of(path: str | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
