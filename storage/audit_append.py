"""An entry of the audit log, written by a command that works on files, beside a running server or
without one. With the standard library alone: such a command starts in a moment."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from models.audit import NewAuditEntry
from models.errors import StorageFailed
from storage.layout import DATABASE_NAME

_PATIENCE_SECONDS = 3.0
_COLUMNS = (
    "time",
    "account",
    "role",
    "way",
    "address",
    "action",
    "job_id",
    "job_name",
    "run_id",
    "details",
)


def append(directory: Path, entry: NewAuditEntry) -> bool:
    """Keep an entry in the database of a data directory; returns whether there is one that keeps
    entries: the first start of a server makes it. Raises StorageFailed."""
    path = directory / DATABASE_NAME
    if not path.is_file():
        return False
    values = [getattr(entry, name) for name in _COLUMNS[:-1]]
    values.append(json.dumps(entry.details))
    places = ", ".join("?" * len(_COLUMNS))
    statement = f"INSERT INTO audit_entries ({', '.join(_COLUMNS)}) VALUES ({places})"  # noqa: S608
    try:
        with (
            closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", _PATIENCE_SECONDS, uri=True)
            ) as connection,
            connection,
        ):
            if not connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'audit_entries'"
            ).fetchone():
                return False
            connection.execute(statement, values)
    except sqlite3.Error as error:
        raise StorageFailed("The audit log", str(error)) from error
    return True
