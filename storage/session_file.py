"""`sessions.json`: who is signed in, over a restart. A session's secret is in it as a hash alone.

In a file of its own and not in the database: who is signed in gets in while that is away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from models.access import Session
from models.errors import StorageFailed
from utils.durable_file import remove_file, replace_file

SESSIONS_NAME = "sessions.json"
_MAX_BYTES = 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")


class SessionFile:
    """The file of one data directory."""

    def __init__(self, data_directory: Path) -> None:
        self._path = data_directory / SESSIONS_NAME

    def read(self) -> tuple[Session, ...]:
        """Return the sessions that are kept; none where the file is not as it should be: whoever
        had one signs in again. Blocking."""
        try:
            with self._path.open("rb") as file:
                document = json.loads(file.read(_MAX_BYTES + 1))
            return tuple(_session(one) for one in document["sessions"])
        except (OSError, ValueError, TypeError, KeyError):
            return ()

    def write(self, sessions: Iterable[Session]) -> None:
        """Keep these and no others, durable when this returns. Blocking. Raises StorageFailed."""
        document = {"format": 1, "sessions": [asdict(one) for one in sessions]}
        try:
            replace_file(self._path, json.dumps(document, indent=1).encode() + b"\n")
        except OSError as error:
            raise StorageFailed(f"Writing {SESSIONS_NAME}", error.strerror or "failed") from error

    def forget(self) -> None:
        """Keep none, durable when this returns. Blocking. Raises StorageFailed."""
        try:
            remove_file(self._path)
        except OSError as error:
            raise StorageFailed(f"Removing {SESSIONS_NAME}", error.strerror or "failed") from error


def _session(one: dict[str, object]) -> Session:
    session = Session(
        digest=str(one["digest"]),
        account=str(one["account"]),
        password=str(one["password"]),
        began_at=float(str(one["began_at"])),
        used_at=float(str(one["used_at"])),
        address=str(one["address"]),
    )
    if not _DIGEST.fullmatch(session.digest):
        raise ValueError("no digest")
    return session
