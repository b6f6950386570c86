"""What is told of each source that a run deleted or kept: the record beside its journal.

`deletions.jsonl` in the run's directory. A line that intends a deletion is durable before the file
is touched; a later line with the same number says what became of it. Standard library only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

RECORD_NAME = "deletions.jsonl"
FORMAT = 1
PUT_BACK = "put-back"
"""Has the process that deletes put back what a run that was cut off had moved aside."""


class DeletionOutcome(StrEnum):
    """What became of a source."""

    INTENDED = "intended"
    """Nobody said: the run was cut off while it was deleted."""
    DELETED = "deleted"
    TRASHED = "trashed"
    """It lies in the trash folder of the source."""
    KEPT = "kept"
    RESTORED = "restored"
    """It was put back out of the trash folder."""


class Deletion(NamedTuple):
    """One source in the record of a run. Sizes in bytes; times in UTC, ISO 8601.

    `path` is relative to the source, as it is on disk (bytes that are not UTF-8 as lone surrogates,
    as os.fsdecode has them); `hash` is `sha256:…`, for a symbolic link where it leads.
    """

    number: int
    path: str
    outcome: str
    time: str
    size: int | None = None
    mtime_ns: int | None = None
    hash: str | None = None
    reason: str | None = None
