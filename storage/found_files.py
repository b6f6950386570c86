"""A file of a data directory as it was found: its content, and what becomes of a damaged one.

Everything here blocks and belongs into a thread.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from models.errors import InvalidDocument
from storage.yaml_documents import MAX_BYTES

KEPT_DAMAGED_FILES = 5
"""How many damaged files of one job are kept beside it, the newest."""
DAMAGED_MARK = ".damaged-"


@dataclass(frozen=True)
class OnDisk:
    """A file as it was found; `modified_at_ns` in nanoseconds since the epoch."""

    content: bytes
    modified_at_ns: int

    @property
    def digest(self) -> str:
        """The SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


def read_file(path: str) -> OnDisk:
    """Read a file, at most one byte more than is allowed. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        facts = os.fstat(descriptor)
        size = min(facts.st_size, MAX_BYTES) + 1
        return OnDisk(os.read(descriptor, size), facts.st_mtime_ns)
    finally:
        os.close(descriptor)


def keep_aside(path: str) -> str:
    """Keep a damaged file under a name with the time in it as well; returns that name.

    Durable with the next sync of the directory. Raises OSError.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
    aside = f"{path}{DAMAGED_MARK}{moment}"
    try:
        os.link(path, aside)
    except OSError:
        shutil.copyfile(path, aside)  # A file system without hard links.
    for old in sorted(_aside_of(path))[:-KEPT_DAMAGED_FILES]:
        os.unlink(old)
    return os.path.basename(aside)


def _aside_of(path: str) -> Iterator[str]:
    directory, name = os.path.split(path)
    for other in os.listdir(directory):
        if other.startswith(name + DAMAGED_MARK):
            yield os.path.join(directory, other)


def shown(job_id: str) -> str:
    """Return an id for people: a file's name may be any bytes."""
    return os.fsencode(job_id).decode("utf-8", "backslashreplace")


def reason_of(error: OSError | InvalidDocument) -> str:
    """Say for a person why a file cannot be used."""
    if isinstance(error, InvalidDocument):
        return error.reason
    if isinstance(error, FileNotFoundError):
        return "is missing"
    return f"cannot be read: {error.strerror or error}"
