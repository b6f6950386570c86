"""The token that a server leaves in its data directory for the command line (contracts.md).

Whoever can read the directory can change everything in it anyhow.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from models.errors import StorageFailed
from utils.durable_file import drop_file, replace_file

LOCAL_TOKEN_NAME = "cli-token"  # noqa: S105 - the name of a file
_MAX_BYTES = 1024


def leave_token(data_directory: Path) -> str:
    """Write a new token (mode 0600) and return it. Blocking. Raises StorageFailed."""
    token = secrets.token_urlsafe(32)
    try:
        replace_file(data_directory / LOCAL_TOKEN_NAME, token.encode() + b"\n")
    except OSError as error:
        raise StorageFailed(f"Writing {LOCAL_TOKEN_NAME}", error.strerror or "failed") from error
    return token


def left_token(data_directory: Path) -> str | None:
    """Return the token of the server that runs on a directory; None where it cannot be read."""
    try:
        with (data_directory / LOCAL_TOKEN_NAME).open("rb") as file:
            return file.read(_MAX_BYTES).decode("ascii").strip() or None
    except (OSError, ValueError):
        return None


def take_token_away(data_directory: Path) -> None:
    """Remove the token of a server that ends."""
    drop_file(str(data_directory / LOCAL_TOKEN_NAME))
