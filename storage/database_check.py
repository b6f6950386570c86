"""Whether the SQLite database of a data directory is whole; nothing in the directory is changed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from models.errors import StorageFailed

_MAX_TOLD = 5
_TRIES = 3
_BUSY_SECONDS = 5.0


def database_faults(path: Path, *, is_served: bool) -> tuple[str, ...]:
    """Return what `PRAGMA integrity_check` finds, at most five lines; none when all is well.

    Raises StorageFailed when it cannot be checked without changing something, which is no fault.
    """
    for turn in range(_TRIES):
        how = _way_to_open(path, is_served=is_served)
        faults = _check(path, how)
        # A server that begins or ends meanwhile makes or removes the files beside it.
        if not faults or turn == _TRIES - 1 or how == _way_to_open(path, is_served=is_served):
            return faults
    raise AssertionError("not reached")


def _way_to_open(path: Path, *, is_served: bool) -> str:
    """Return how to open the file so that SQLite makes no other beside it.

    `mode=ro` alone makes -wal and -shm where they are missing (sqlite.org/wal.html, "Read-Only
    Databases") and writes its marks into the latter; `readonly_shm` needs both. Without a -wal
    nobody writes: immutable.
    """
    log = _size(f"{path}-wal")
    if log is None or (log == 0 and not is_served):
        return "mode=ro&immutable=1"
    if _size(f"{path}-shm") is None:
        raise StorageFailed("Checking the database", "its -shm file is missing; a start makes it")
    return "mode=ro&readonly_shm=1"


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def _check(path: Path, how: str) -> tuple[str, ...]:
    address = f"file:{quote(os.fspath(path))}?{how}"
    try:
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)
        try:
            found = connection.execute(f"PRAGMA integrity_check({_MAX_TOLD})").fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return (str(error),)
    lines = [line for (text,) in found for line in str(text).splitlines()][:_MAX_TOLD]
    return () if lines == ["ok"] else tuple(lines)
