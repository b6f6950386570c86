"""The data directory: made with the right modes, and held against a second server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import DataDirectoryInUse, StorageFailed
from models.settings import Settings
from utils.durable_file import try_lock
from utils.file_locks import is_locked

LOCK_NAME = "longshore.lock"


@contextmanager
def open_data_directory(directory: Path, settings: Settings) -> Iterator[None]:
    """Hold the directory while the server runs.

    Raises DataDirectoryInUse naming the holder, and StorageFailed when it cannot be used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The checkout's own jobs_data comes with the modes of a checkout.
        directory.chmod(0o700)
        lock = try_lock(directory / LOCK_NAME)
    except OSError as error:
        what = f"Opening the data directory {directory}"
        raise StorageFailed(what, error.strerror or str(error)) from error
    if lock is None:
        raise DataDirectoryInUse(str(directory), holder_of(directory))
    try:
        holder = {"format": 1, "pid": os.getpid(), "url": server_url(settings)}
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.ftruncate(lock, 0)
        os.close(lock)


def holder_of(directory: Path) -> str:
    """Return who holds the directory, for people."""
    pid = _holder(directory).get("pid")
    return f"the server with pid {pid}" if pid else "another server"


def url_of_running_server(directory: Path) -> str | None:
    """Return where the server of this data directory listens, or None when none runs."""
    if not is_locked(directory / LOCK_NAME):
        return None  # What a server that was killed left behind.
    url = _holder(directory).get("url")
    return url if isinstance(url, str) else None


def server_url(settings: Settings) -> str:
    """Return the address under which the server can be reached on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{settings.port}"


def _holder(directory: Path) -> dict[str, object]:
    try:
        document = json.loads((directory / LOCK_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
