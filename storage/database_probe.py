"""Whether the database can be written and read right now, by a connection of its own.

The number that it writes (PRAGMA user_version) is nobody else's; alembic keeps its own in a table.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

LOCK_SECONDS = 0.25
"""How long another one's lock is waited for."""
_PRIMARY_CODE = 0xFF
_LARGEST = 2**31


class Trouble(StrEnum):
    """Why it cannot be used."""

    LOCKED = "locked"
    FULL = "full"
    READ_ONLY = "read_only"
    DAMAGED = "damaged"
    OTHER = "other"


_TROUBLES = {
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: Trouble.DAMAGED,
    sqlite3.SQLITE_NOTADB: Trouble.DAMAGED,
}


class ProbeAnswer(NamedTuple):
    """What a write and a read came to."""

    seconds: float
    schema_version: str | None
    trouble: Trouble | None = None
    detail: str | None = None
    """SQLite's words, without a path."""


def probe_database(path: Path) -> ProbeAnswer:
    """Commit a number durably and read it again; opened anew, as after a restart."""
    began = time.monotonic()
    try:
        version = _write_and_read(path)
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
        trouble = _TROUBLES.get(code, Trouble.OTHER)
        return ProbeAnswer(time.monotonic() - began, None, trouble, str(error))
    return ProbeAnswer(time.monotonic() - began, version)


def _write_and_read(path: Path) -> str | None:
    # mode=rw: a database that is gone must not come back as an empty one.
    address = f"file:{quote(str(path))}?mode=rw"
    with closing(
        sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
    ) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        number = (_number(connection) + 1) % _LARGEST
        connection.execute(f"PRAGMA user_version={number:d}")
        connection.execute("COMMIT")
        if _number(connection) != number:
            raise sqlite3.DatabaseError("what was written is not read again")
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if row is None else str(row[0])


def _number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
